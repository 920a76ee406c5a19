import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

const workflow = fileURLToPath(new URL('../../workflows/fashion-one-step.json', import.meta.url));
const models = fileURLToPath(new URL('../../models/', import.meta.url));

interface Report {
  readonly ok: boolean;
  readonly files: readonly string[];
  readonly nodes: readonly {
    readonly type: string;
    readonly cached: boolean;
    readonly outputs: Record<string, unknown>;
  }[];
}

/** `flowstep run FILE --json` into a new folder. */
async function run(file: string, ...args: string[]): Promise<Report> {
  const out = await tempFolder();
  const { code, stdout } = await callCli(['run', file, '--json', '--out', out, ...args], {
    FLOWSTEP_MODELS: models,
  });
  expect(code).toBe(0);
  return JSON.parse(stdout) as Report;
}

const outputsOf = (report: Report) => report.nodes.map(({ type, outputs }) => [type, outputs]);

test('run --json gives handles as they are, and tensors by type, shape and hash', async () => {
  const { nodes } = await run(workflow, '--set', 'One-Step Sampler.count=3');
  const [load, sampler] = nodes;
  expect(load?.outputs['model']).toMatchObject({
    type: 'FLOW_MODEL',
    root: 'models',
    path: 'fashion/student.safetensors',
  });
  const hash = expect.stringMatching(/^[0-9a-f]{64}$/);
  expect(sampler?.outputs).toEqual({
    latent: { samples: { dtype: 'float32', shape: [3, 1, 28, 28], sha256: hash } },
    image: { dtype: 'float32', shape: [3, 28, 28, 3], sha256: hash },
  });
  expect(nodes.every((node) => !node.cached)).toBe(true);
});

test('a picture runs again to the same outputs and the same bytes, with another seed to others', async () => {
  const first = await run(workflow, '--set', 'One-Step Sampler.count=3');
  const picture = first.files[0]!;
  const again = await run(picture);
  const other = await run(picture, '--set', 'One-Step Sampler.seed=2');
  expect(outputsOf(again)).toEqual(outputsOf(first));
  expect(outputsOf(other)).not.toEqual(outputsOf(first));
  expect(await readFile(again.files[0]!)).toEqual(await readFile(picture));
});
