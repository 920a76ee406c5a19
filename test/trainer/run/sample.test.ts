/** Solvers against plain loops over the reference interpreter. */
import { describe, expect, test } from 'vitest';
import { cachedBatch } from '../../../src/trainer/nn/network.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import type { SampleRequest } from '../../../src/trainer/run/sample-request.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { relativeGap } from '../../support/gradcheck.ts';
import {
  noiseOf,
  plainField,
  TINY_DIT,
  TINY_MLP,
  tinyModel,
  WIDE_MLP,
} from '../../support/tiny-models.ts';

type Field = (x: readonly number[], t: number) => number[];

const moved = (x: readonly number[], v: readonly number[], by: number) =>
  x.map((value, i) => value - by * v[i]!);

function plainEuler(field: Field, noise: readonly number[], steps: number): number[] {
  let x = [...noise];
  for (let i = steps; i > 0; i--) x = moved(x, field(x, i / steps), 1 / steps);
  return x;
}

/** The last step is Euler's. */
function plainHeun(field: Field, noise: readonly number[], steps: number): number[] {
  let x = [...noise];
  for (let i = steps; i > 1; i--) {
    const v = field(x, i / steps);
    const ahead = field(moved(x, v, 1 / steps), (i - 1) / steps);
    x = moved(
      x,
      v.map((a, k) => (a + ahead[k]!) / 2),
      1 / steps,
    );
  }
  return moved(x, field(x, 1 / steps), 1 / steps);
}

const teacher = tinyModel(TINY_MLP);
const student = tinyModel(TINY_MLP, { tStar: 0.9, cIn: 0.8 });
const pictures = tinyModel(TINY_DIT);

async function samples(model: FlowModel, request: Partial<SampleRequest>): Promise<Float32Array> {
  const noise = noiseOf([5, 2]);
  const all = {
    solver: 'euler',
    noise,
    ...(request.solver !== 'one-step' && { steps: 4 }),
    ...request,
  } as const;
  const result = await sample(model, all);
  expect(result.shape).toEqual(all.noise.shape);
  return result.data;
}

describe('solvers', () => {
  test.each([1, 2, 7])('Euler in %i steps', async (steps) => {
    const expected = plainEuler(plainField(teacher), [...noiseOf([5, 2]).data], steps);
    expect(relativeGap(await samples(teacher, { steps }), expected)).toBeLessThan(1e-5);
  });

  test.each([1, 2, 7])('Heun in %i steps', async (steps) => {
    const expected = plainHeun(plainField(teacher), [...noiseOf([5, 2]).data], steps);
    const found = await samples(teacher, { solver: 'heun', steps });
    expect(relativeGap(found, expected)).toBeLessThan(1e-5);
  });

  test('orders: halving the step divides the error by 2, and by more than 3 for Heun', async () => {
    const exact = await samples(teacher, { solver: 'heun', steps: 512 });
    const error = async (solver: 'euler' | 'heun', steps: number) =>
      relativeGap(await samples(teacher, { solver, steps }), exact);
    const euler = (await error('euler', 16)) / (await error('euler', 32));
    expect(euler).toBeGreaterThan(1.8);
    expect(euler).toBeLessThan(2.2);
    expect((await error('heun', 12)) / (await error('heun', 24))).toBeGreaterThan(3);
  });

  test('one step of a student: c_in z - t* v(c_in z, t*)', async () => {
    const noise = noiseOf([5, 2]);
    const scaled = [...noise.data].map((z) => 0.8 * z);
    const expected = moved(scaled, plainField(student)(scaled, 0.9), 0.9);
    const found = await samples(student, { solver: 'one-step' });
    expect(relativeGap(found, expected)).toBeLessThan(1e-5);
  });

  describe('a student of three steps', () => {
    const settings = { tStar: 0.9, cIn: 0.8, steps: 3, shift: 2 };
    const noise = noiseOf([5, 2]);
    const start = [...noise.data].map((z) => 0.8 * z);

    test('by Euler steps from each time of its grid to the next, and to 0', async () => {
      const model = tinyModel(TINY_MLP, settings);
      const grid = model.info.student!.grid;
      const field = plainField(model);
      let x = start;
      for (const [k, t] of grid.entries()) x = moved(x, field(x, t), t - (grid[k + 1] ?? 0));
      const found = await samples(model, { solver: 'one-step' });
      expect(relativeGap(found, x)).toBeLessThan(1e-5);
    });

    test('stopped early, it predicts the data from where it is', async () => {
      const model = tinyModel(TINY_MLP, settings);
      const [first, second] = model.info.student!.grid as [number, number, number];
      const field = plainField(model);
      const x = moved(start, field(start, first), first - second);
      const expected = moved(x, field(x, second), second);
      const found = await samples(model, { solver: 'one-step', steps: 2 });
      expect(relativeGap(found, expected)).toBeLessThan(1e-5);
    });

    test('with fresh noise between steps: (1 - t) x0 + t noise', async () => {
      const model = tinyModel(TINY_MLP, { ...settings, transition: 'fresh' });
      const grid = model.info.student!.grid;
      const field = plainField(model);
      const freshNoise = [noiseOf([5, 2], 11), noiseOf([5, 2], 12)];
      let x = moved(start, field(start, grid[0]!), grid[0]!);
      for (const [k, { data }] of freshNoise.entries()) {
        const t = grid[k + 1]!;
        x = x.map((value, i) => (1 - t) * value + t * data[i]!);
        x = moved(x, field(x, t), t);
      }
      const found = await samples(model, { solver: 'one-step', freshNoise });
      expect(relativeGap(found, x)).toBeLessThan(1e-5);
      await expect(samples(model, { solver: 'one-step' })).rejects.toMatchObject({
        code: 'SHAPE_MISMATCH',
        message: expect.stringContaining('2 times'),
      });
    });
  });

  test('the noise is left as it is', async () => {
    const noise = noiseOf([3, 2]);
    await samples(teacher, { noise });
    expect(noise).toEqual(noiseOf([3, 2]));
  });
});

describe('batches', () => {
  test('a number of samples that is no multiple of the batch', async () => {
    const wide = tinyModel(WIDE_MLP);
    const batch = cachedBatch(WIDE_MLP);
    const count = 2 * batch + 3;
    const noise = noiseOf([count, 2]);
    const all = await samples(wide, { noise, steps: 2 });
    for (const [from, to] of [
      [0, 2],
      [batch - 1, batch + 1],
      [2 * batch - 1, count],
    ] as const) {
      const part = float32(noise.data.slice(2 * from, 2 * to), [to - from, 2]);
      const alone = await samples(wide, { noise: part, steps: 2 });
      expect(relativeGap(all.subarray(2 * from, 2 * to), alone)).toBeLessThan(1e-5);
    }
  });
});

describe('labels', () => {
  const noise = noiseOf([4, 1, 4, 4]);

  test('each sample has its own class, -1 none', async () => {
    const labels = [2, -1, 0, 1];
    const expected = plainEuler(plainField(pictures, labels), [...noise.data], 3);
    const found = await samples(pictures, { noise, steps: 3, labels: Int32Array.from(labels) });
    expect(relativeGap(found, expected)).toBeLessThan(1e-5);
  });

  test('no labels are no classes, and classes make a difference', async () => {
    const without = await samples(pictures, { noise });
    const none = await samples(pictures, { noise, labels: new Int32Array(4).fill(-1) });
    expect(none).toEqual(without);
    const ones = await samples(pictures, { noise, labels: new Int32Array(4).fill(1) });
    expect(ones).not.toEqual(without);
  });
});

describe('refused', () => {
  const refusals: readonly (readonly [
    string,
    FlowModel,
    Partial<SampleRequest>,
    string,
    string,
  ])[] = [
    ['one step of a teacher', teacher, { solver: 'one-step' }, 'VALUE_OUT_OF_RANGE', 'teacher'],
    ['no steps', teacher, { steps: 0 }, 'VALUE_OUT_OF_RANGE', 'steps'],
    ['half a step', teacher, { steps: 1.5 }, 'VALUE_OUT_OF_RANGE', 'steps'],
    ['noise of another shape', teacher, { noise: noiseOf([5, 3]) }, 'SHAPE_MISMATCH', '[5, 3]'],
    ['no noise', teacher, { noise: noiseOf([0, 2]) }, 'SHAPE_MISMATCH', '[0, 2]'],
    [
      'noise without a batch',
      pictures,
      { noise: noiseOf([1, 4, 4]) },
      'SHAPE_MISMATCH',
      '[1, 4, 4]',
    ],
    [
      'labels of a model without classes',
      teacher,
      { labels: new Int32Array(5) },
      'VALUE_OUT_OF_RANGE',
      'without classes',
    ],
    [
      'too few labels',
      pictures,
      { noise: noiseOf([2, 1, 4, 4]), labels: new Int32Array(1) },
      'VALUE_OUT_OF_RANGE',
      '2 numbers from 0 to 2',
    ],
    [
      'a class that the model lacks',
      pictures,
      { noise: noiseOf([1, 1, 4, 4]), labels: Int32Array.of(3) },
      'VALUE_OUT_OF_RANGE',
      'from 0 to 2',
    ],
  ];

  test.each(refusals)('%s', async (_title, model, request, code, text) => {
    await expect(samples(model, request)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(text),
    });
  });

  test('an aborted signal ends the sampling', async () => {
    const request = { solver: 'euler', steps: 5, noise: noiseOf([2, 2]) } as const;
    await expect(sample(teacher, request, AbortSignal.abort())).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});
