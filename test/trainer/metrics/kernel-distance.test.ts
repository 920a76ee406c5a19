/** KID against the formula written out, and its subsets; golden-metrics.test.ts has the packages' numbers. */
import { expect, test } from 'vitest';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import {
  drawSubsets,
  KERNEL_SUBSETS,
  kernelDistance,
} from '../../../src/trainer/metrics/kernel-distance.ts';

const DIM = 2;
const REAL = [
  [1, 2],
  [-1, 0.5],
  [3, 0],
];
const FAKE = [
  [0, 1],
  [2, 2],
];

const kernel = (x: readonly number[], y: readonly number[]) =>
  ((x[0]! * y[0]! + x[1]! * y[1]!) / DIM + 1) ** 3;

function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

const pairs = (set: readonly (readonly number[])[]) =>
  set.flatMap((x, i) => set.flatMap((y, j) => (i === j ? [] : [kernel(x, y)])));

test('is the unbiased estimate over different pairs', async () => {
  const expected =
    mean(pairs(REAL)) +
    mean(pairs(FAKE)) -
    2 * mean(REAL.flatMap((x) => FAKE.map((y) => kernel(x, y))));
  const got = await kernelDistance(
    featuresOfArray('a', Float64Array.from(REAL.flat()), DIM),
    featuresOfArray('b', Float64Array.from(FAKE.flat()), DIM),
    [{ real: Int32Array.of(2, 0, 1), fake: Int32Array.of(0, 1) }],
  );
  expect(got.mean).toBeCloseTo(expected, 12);
  expect(got).toMatchObject({ std: 0, perSubset: [got.mean] });
});

test('one sample has no other to compare with', async () => {
  const one = featuresOfArray('a', Float64Array.of(1, 2), DIM);
  await expect(
    kernelDistance(one, one, [{ real: Int32Array.of(0), fake: Int32Array.of(0) }]),
  ).rejects.toMatchObject({ code: 'VALUE_OUT_OF_RANGE' });
});

test('subsets repeat no sample, differ, and follow from the seed', () => {
  const subsets = drawSubsets(1500, 1200, 7);
  expect(subsets).toHaveLength(KERNEL_SUBSETS.count);
  for (const { real, fake } of subsets) {
    expect([new Set(real).size, new Set(fake).size]).toEqual([1000, 1000]);
    expect(Math.max(...real)).toBeLessThan(1500);
    expect(Math.max(...fake)).toBeLessThan(1200);
  }
  expect(subsets[0]).not.toEqual(subsets[1]);
  expect(drawSubsets(1500, 1200, 7)).toEqual(subsets);
  expect(drawSubsets(1500, 1200, 8)).not.toEqual(subsets);
  // Each sample is as likely as the next: 66.7 of 100 subsets hold it, with a deviation of 4.7.
  const counts = new Array<number>(1500).fill(0);
  for (const { real } of subsets) for (const row of real) counts[row]! += 1;
  expect(Math.min(...counts)).toBeGreaterThan(66.7 - 5 * 4.7);
  expect(Math.max(...counts)).toBeLessThan(66.7 + 5 * 4.7);
});

test('small sets are taken whole', () => {
  const [first] = drawSubsets(6, 4, 0);
  expect([first!.real.length, first!.fake.length]).toEqual([4, 4]);
  expect(Array.from(first!.fake).sort()).toEqual([0, 1, 2, 3]);
});
