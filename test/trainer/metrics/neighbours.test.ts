/** Shares by neighbours against the definition written out; golden-metrics.test.ts has the packages' numbers. */
import { expect, test } from 'vitest';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import { neighbourShares } from '../../../src/trainer/metrics/neighbours.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

const line = (...values: number[]) => featuresOfArray('points', Float64Array.from(values), 1);

test('points on a line, by hand', async () => {
  // Radii to the first neighbour: reals 1, 1, 2, 5; fakes 0.5, 0.5, 9.5.
  const real = line(0, 1, 3, 8);
  const fake = line(0.5, 1, 10.5);
  expect(await neighbourShares(real, fake, 1)).toEqual({
    // 0.5 and 1 lie in balls of reals, 10.5 in that of 8.
    precision: 1,
    // 1 is a fake's place; 3 and 8 lie in the ball of 10.5, and 0 on the edge of that of 0.5.
    recall: 3 / 4,
    // 0.5 is in the balls of 0 and 1; 1 in that of 1, on the edges of 0 and 3; 10.5 in that of 8.
    density: 4 / 3,
    // 0 and 1 and 8 have a fake in their balls; for 3 the nearest is on the edge.
    coverage: 3 / 4,
  });
});

test('blocks join: more samples than a block, of different numbers', async () => {
  const dim = 3;
  const normals = (count: number, seed: number, shift: number) => {
    const data = new Float32Array(count * dim);
    fillNormal(data, seed, 903, 0);
    return data.map((v) => v + shift);
  };
  const [real, fake] = [normals(1100, 1, 0), normals(1030, 2, 0.8)];
  const k = 3;
  const square = (a: Float32Array, i: number, b: Float32Array, j: number) =>
    [0, 1, 2].reduce((sum, c) => sum + (a[i * dim + c]! - b[j * dim + c]!) ** 2, 0);
  const radiiOf = (set: Float32Array) =>
    Array.from({ length: set.length / dim }, (_, i) => {
      const squares = Float64Array.from({ length: set.length / dim }, (_, j) =>
        square(set, i, set, j),
      );
      return squares.sort()[k]!;
    });
  const [realRadii, fakeRadii] = [radiiOf(real), radiiOf(fake)];
  let [precision, recall, density, coverage] = [0, 0, 0, 0];
  fakeRadii.forEach((_, j) => {
    const balls = realRadii.filter((radius, i) => square(real, i, fake, j) < radius).length;
    density += balls;
    if (balls > 0) precision++;
  });
  realRadii.forEach((radius, i) => {
    if (fakeRadii.some((r, j) => square(real, i, fake, j) < r)) recall++;
    if (fakeRadii.some((_, j) => square(real, i, fake, j) < radius)) coverage++;
  });
  const got = await neighbourShares(
    featuresOfArray('real', real, dim),
    featuresOfArray('fake', fake, dim),
    k,
  );
  expect(got).toEqual({
    precision: precision / 1030,
    recall: recall / 1100,
    density: density / (k * 1030),
    coverage: coverage / 1100,
  });
});

test('a collapsed set reaches nothing, though it lies among the data and far from 0', async () => {
  const dim = 4;
  const real = new Float32Array(40 * dim);
  fillNormal(real, 5, 904, 0);
  const far = real.map((v) => 1000 + v);
  const point = Float32Array.of(1000.1, 1000.2, 999.9, 1000.05);
  const fake = new Float32Array(20 * dim).map((_, i) => point[i % dim]!);
  const got = await neighbourShares(
    featuresOfArray('real', far, dim),
    featuresOfArray('fake', fake, dim),
    3,
  );
  expect(got).toMatchObject({ precision: 1, recall: 0 });
  expect(got.coverage).toBeLessThan(0.5);
});

test.each([3, 5])('%i neighbours need more samples than that', async (k) => {
  const points = line(...Array.from({ length: k }, (_, i) => i));
  await expect(neighbourShares(points, points, k)).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    message: `points: ${k} samples are too few for ${k} nearest neighbours, which needs ${k + 1}`,
  });
});
