import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { pointSet } from '../../../src/trainer/data/points.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { initialise } from '../../../src/trainer/nn/parameters.ts';
import type { TeacherJob } from '../../../src/trainer/run/teacher-trainer.ts';
import { TINY_DIT, TINY_MLP } from '../../support/tiny-models.ts';
import { bitsOf, runToEnd, trainTeacher } from '../../support/training.ts';

const job: TeacherJob = {
  dataset: pointSet('8g'),
  network: TINY_MLP,
  steps: 30,
  batch: 32,
  learningRate: 5e-3,
  warmup: 5,
  schedule: 'cosine',
  emaDecay: 0.9,
  clipNorm: 0,
  clipValue: 0,
  density: { kind: 'uniform', min: 0.02, max: 0.98 },
  seed: 3,
};

/** Pictures of one grey each, lighter with the class. */
const GREYS: Dataset = {
  name: 'greys',
  shape: [1, 4, 4],
  classes: 3,
  hash: '00',
  batch: (_seed, step, count) => {
    const labels = Int32Array.from({ length: count }, (_, i) => (i + step) % 3);
    const x = Float32Array.from({ length: 16 * count }, (_, i) => labels[i >> 4]! - 1);
    return { x, labels };
  },
};

describe('a run', () => {
  test('tells of every step, and what trained the model', async () => {
    const { steps: events, result } = await runToEnd(trainTeacher(job));
    expect(result.outcome).toEqual({ kind: 'finished' });
    expect(events.map((e) => e.step)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(events.every((e) => e.steps === 30 && e.stepsPerSecond > 0 && e.etaSeconds >= 0)).toBe(
      true,
    );
    expect(events.at(-1)!.etaSeconds).toBe(0);
    for (const name of ['loss/teacher', 'norm/teacher', 'rate/teacher', 'time/step_ms']) {
      expect(events.every(({ metrics }) => metrics[name]! > 0)).toBe(true);
    }
    expect(events[0]!.metrics['rate/teacher']).toBeCloseTo(1e-3, 12);
    const { info, parameters } = result.teacher;
    expect(info).toMatchObject({
      role: 'teacher',
      network: TINY_MLP,
      dataset: { name: '8g', hash: job.dataset.hash },
      training: { steps: 30, batch: 32, seed: 3, schedule: 'cosine' },
    });
    expect(parameters).toHaveLength(parameterList(TINY_MLP).size);
    expect(parameters.every(Number.isFinite)).toBe(true);
  });

  test('learns: the loss falls to what is left for the best velocity', async () => {
    const long = { ...job, steps: 400, batch: 64, schedule: 'constant' as const };
    const { steps: events } = await runToEnd(trainTeacher(long));
    const mean = (part: typeof events) =>
      part.reduce((sum, e) => sum + e.metrics['loss/teacher']!, 0) / part.length;
    expect(mean(events.slice(-50))).toBeLessThan(0.7 * mean(events.slice(0, 10)));
  });

  test('with classes, clipped, at logit-normal times', async () => {
    const density = { kind: 'logit-normal', mean: 0, std: 1, min: 0, max: 1 } as const;
    const pictures = { ...job, dataset: GREYS, network: TINY_DIT, clipNorm: 0.5, density };
    const { steps: events, result } = await runToEnd(trainTeacher({ ...pictures, steps: 5 }));
    expect(events).toHaveLength(5);
    expect(result.outcome.kind).toBe('finished');
    expect(result.teacher.parameters.every(Number.isFinite)).toBe(true);
  });

  test('no steps: the model as it starts', async () => {
    const { steps: events, result } = await runToEnd(trainTeacher({ ...job, steps: 0 }));
    expect(events).toEqual([]);
    expect(result.outcome.kind).toBe('finished');
    expect(result.teacher.parameters).toEqual(initialise(parameterList(TINY_MLP), 3));
  });
});

describe('the seed', () => {
  const trained = async (seed: number) => {
    const { steps: events, result } = await runToEnd(trainTeacher({ ...job, seed }));
    return { losses: events.map((e) => e.metrics['loss/teacher']), ...result.teacher };
  };

  test('the same one gives the same bits', async () => {
    const [first, second] = [await trained(7), await trained(7)];
    expect(second.losses).toEqual(first.losses);
    expect(bitsOf(second.parameters)).toEqual(bitsOf(first.parameters));
  });

  test('another one gives another model', async () => {
    expect((await trained(8)).parameters).not.toEqual((await trained(7)).parameters);
  });
});

describe('an end before the end', () => {
  test('aborted: no step more, and the model as it is then', async () => {
    const controller = new AbortController();
    const { steps: events, result } = await runToEnd(
      trainTeacher(job, { signal: controller.signal }),
      ({ step }) => {
        if (step === 4) controller.abort();
      },
    );
    expect(events).toHaveLength(4);
    expect(result.outcome).toEqual({ kind: 'interrupted' });
    expect(result.teacher.info.training['steps']).toBe(4);
    expect(result.teacher.parameters.every(Number.isFinite)).toBe(true);
  });

  test('aborted before it began', async () => {
    const { steps: events, result } = await runToEnd(
      trainTeacher(job, { signal: AbortSignal.abort() }),
    );
    expect(events).toEqual([]);
    expect(result.outcome).toEqual({ kind: 'interrupted' });
  });

  test('diverged: the last good weights, all finite, and advice', async () => {
    const { steps: events, result } = await runToEnd(
      trainTeacher({ ...job, learningRate: 1e30, warmup: 0 }),
    );
    expect(result.outcome).toMatchObject({
      kind: 'diverged',
      problem: { code: 'NON_FINITE_LOSS', hint: expect.stringContaining('learning rate') },
    });
    expect(events.length).toBeLessThan(30);
    expect(result.teacher.info.training['steps']).toBe(events.length);
    expect(result.teacher.parameters.every(Number.isFinite)).toBe(true);
  });

  test('a caller that goes away, and one that comes after', async () => {
    for await (const event of trainTeacher(job))
      if (event.kind === 'step' && event.step === 2) break;
    const { result } = await runToEnd(trainTeacher({ ...job, steps: 1 }));
    expect(result.outcome.kind).toBe('finished');
  });
});

test.each([
  ['of other samples', { ...job, network: { ...TINY_MLP, dim: 3 } }, '[3] with 0 classes'],
  [
    'with other classes',
    { ...job, dataset: GREYS, network: { ...TINY_DIT, classes: 5 } },
    'with 5 classes, the data set greys has [1, 4, 4] with 3',
  ],
])('a network %s than the data set is refused', async (_title, bad, text) => {
  await expect(runToEnd(trainTeacher(bad))).rejects.toMatchObject({
    code: 'SHAPE_MISMATCH',
    message: expect.stringContaining(text),
  });
});
