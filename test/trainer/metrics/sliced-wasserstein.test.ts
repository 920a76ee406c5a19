/** The sliced Wasserstein distance where it is known. */
import { expect, test } from 'vitest';
import { slicedWasserstein } from '../../../src/trainer/metrics/sliced-wasserstein.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

function normals(count: number, seed: number): Float32Array {
  const points = new Float32Array(2 * count);
  fillNormal(points, seed, 905, 0);
  return points;
}

test('a shift by d is |d| / sqrt 2, as the mean of cos^2 is one half', () => {
  const points = normals(50, 1);
  const shifted = points.map((v, i) => v + (i % 2 === 0 ? 3 : -4));
  expect(slicedWasserstein(points, shifted)).toBeCloseTo(5 / Math.SQRT2, 6);
});

test('a set and itself, in another order or each point twice, are 0 apart', () => {
  const points = normals(9, 2);
  const turned = Float32Array.from(
    { length: 18 },
    (_, i) => points[16 - 2 * Math.floor(i / 2) + (i % 2)]!,
  );
  const doubled = Float32Array.from({ length: 36 }, (_, i) => points[i % 18]!);
  expect(slicedWasserstein(points, turned)).toBe(0);
  expect(slicedWasserstein(points, doubled)).toBeCloseTo(0, 7);
});

test('different counts: one point against two on a line', () => {
  // W2^2 along the line is the mean of 1 and 9, and cos^2 of it in other directions.
  expect(slicedWasserstein(Float32Array.of(0, 0), Float32Array.of(1, 0, 3, 0))).toBeCloseTo(
    Math.sqrt(5 / 2),
    12,
  );
});

test.each([[[]], [[1, 2, 3]]])('points %j are refused', (values) => {
  const good = Float32Array.of(1, 2);
  expect(() => slicedWasserstein(good, Float32Array.from(values))).toThrow('not points of 2');
});
