/** @file The workflows for CIFAR-10 carry the recipes of RealUID (alpha = beta = 1) and SiD number by number. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseWorkflow } from '../src/host/workflow.ts';
import { readWorkflowFile } from '../src/host/workflow-file.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';
import { lambdaOfSidAlpha } from '../src/trainer/methods/fgm.ts';

/** Values of the inputs of each node of a shipped workflow, by type, with defaults where the file has none. */
async function valuesOf(name: string) {
  const file = fileURLToPath(new URL(`../workflows/${name}`, import.meta.url));
  const registry = allNodes();
  const { json } = await readWorkflowFile(file);
  return (type: string): Record<string, unknown> => {
    const node = [...parseWorkflow(json, registry, file).values()].find((n) => n.type === type)!;
    const inputs = Object.entries(node.inputs);
    const defaults = registry
      .find(type)!
      .definition.inputs.map((i) => [i.name, i.default] as const);
    return {
      ...Object.fromEntries(defaults),
      ...Object.fromEntries(
        inputs.flatMap(([k, v]) => (v.kind === 'constant' ? [[k, v.value]] : [])),
      ),
    };
  };
}

/** EDM's noise level of a time. */
const level = (t: unknown) => Number(t) / (1 - Number(t));

test('cifar10-uid: the full loss, K = 5, t* = 1, even times', async () => {
  const values = await valuesOf('cifar10-uid.json');
  const even = { density: 'uniform', t_min: 0, t_max: 1 };
  expect(values('FlowstepDataset')).toMatchObject({
    source: 'cifar10',
    split: 'train',
    flip: true,
  });
  expect(values('FlowstepTrainTeacher')).toMatchObject({
    ...even,
    ...{ network: 'song-unet-flow', steps: 400_000, batch: 128, learning_rate: 2e-4, warmup: 5000 },
    ...{
      schedule: 'constant',
      ema_decay: 0.9999,
      dropout: 0.1,
      flow_weight: 'velocity',
      augment: 0,
    },
  });
  const online = values('FlowstepOnlineFlow');
  expect(online).toMatchObject({
    ...even,
    ...{ init: 'random', updates: 5, learning_rate: 3e-5, dropout: 0, flow_weight: 'velocity' },
  });
  const student = values('FlowstepDistill');
  expect(student).toMatchObject({
    ...even,
    ...{ batch: 256, learning_rate: 3e-5, warmup: 500, schedule: 'constant', ema_decay: 0.999 },
    ...{ clip_norm: 1, lambda1: 1, t_star: 1, c_in: 0, weight: 'velocity', real_alpha: 1 },
  });
  // One update in six is the student's.
  expect(Math.abs(Number(student['steps']) * 6 - 500_000)).toBeLessThan(6);
});

test("cifar10-sid: EDM's noise, weight, dropout and changed pictures for the online flow", async () => {
  const values = await valuesOf('cifar10-sid.json');
  const online = values('FlowstepOnlineFlow');
  expect(online).toMatchObject({
    ...{ init: 'teacher', updates: 1, learning_rate: 1e-5, flow_weight: 'edm' },
    ...{ density: 'logit-normal', logit_mean: -1.2, logit_std: 1.2, dropout: 0.13, augment: 0.12 },
  });
  expect(level(online['t_max'])).toBeCloseTo(80, 0);
  const student = values('FlowstepDistill');
  expect(student).toMatchObject({
    ...{ density: 'edm-schedule', weight: 'sid', batch: 256, learning_rate: 1e-5, warmup: 0 },
    ...{ schedule: 'constant', clip_norm: 0, c_in: 0, student_init: 'teacher' },
  });
  expect(level(student['t_star'])).toBeCloseTo(2.5, 5);
  expect(student['lambda1']).toBeCloseTo(lambdaOfSidAlpha(1.2), 9);
  expect(level(student['t_min'])).toBeCloseTo(0.002, 5);
  const last = (80 ** (1 / 7) + 0.2 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7;
  expect(level(student['t_max'])).toBeCloseTo(last, 2);
  expect(Number(student['steps']) * Number(student['batch'])).toBe(500_000_000);
  // The average halves over half a million pictures.
  const halvedOver = (Math.log(0.5) / Math.log(Number(student['ema_decay']))) * 256;
  expect(halvedOver / 500_000).toBeCloseTo(1, 1);
});
