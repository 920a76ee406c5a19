/** The Frechet distance against closed forms; golden-metrics.test.ts has the packages' numbers. */
import { describe, expect, test } from 'vitest';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import {
  type FeatureStatistics,
  featureStatistics,
} from '../../../src/trainer/metrics/feature-statistics.ts';
import { frechetDistance } from '../../../src/trainer/metrics/frechet-distance.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

const COUNT = 1000;

function diagonal(mean: readonly number[], variances: readonly number[]): FeatureStatistics {
  const covariance = new Float64Array(variances.length ** 2);
  for (const [i, variance] of variances.entries())
    covariance[i * (variances.length + 1)] = variance;
  return { count: COUNT, mean: Float64Array.from(mean), covariance };
}

function normals(count: number, dim: number, seed: number): Float32Array {
  const data = new Float32Array(count * dim);
  fillNormal(data, seed, 902, 0);
  return data;
}

describe('the Frechet distance', () => {
  test('of independent Gaussians: differences of means and of deviations', async () => {
    const a = diagonal([1, 2, -3], [4, 9, 0.25]);
    const b = diagonal([1.5, 2, -1], [1, 16, 0.25]);
    expect(await frechetDistance(a, b)).toBeCloseTo(0.25 + 4 + 1 + 1, 12);
  });

  test('where a dimension is constant in one set or in both', async () => {
    const a = diagonal([0, 0, 0], [4, 0, 0]);
    const b = diagonal([0, 0, 2], [1, 9, 0]);
    expect(await frechetDistance(a, b)).toBeCloseTo(4 + 1 + 9, 12);
    expect(await frechetDistance(diagonal([3], [0]), diagonal([1], [0]))).toBe(4);
  });

  test('of correlated Gaussians that are one another scaled: (1 - s)^2 tr S', async () => {
    const data = normals(300, 20, 1);
    for (let i = 1; i < data.length; i++) data[i]! += 0.8 * data[i - 1]!;
    const a = await featureStatistics(featuresOfArray('a', data, 20));
    const b = { ...a, covariance: a.covariance.map((v) => v * 9) };
    const trace = a.covariance.reduce((sum, v, at) => sum + (at % 21 === 0 ? v : 0), 0);
    expect(await frechetDistance(a, b)).toBeCloseTo(4 * trace, 9);
  });

  test('is 0 between a set and itself, also with fewer samples than dimensions', async () => {
    for (const count of [200, 7]) {
      const a = await featureStatistics(featuresOfArray('a', normals(count, 30, 2), 30));
      expect(await frechetDistance(a, a)).toBeLessThan(1e-6);
    }
  });

  test('is the same both ways with different numbers of samples', async () => {
    const many = await featureStatistics(featuresOfArray('a', normals(90, 25, 3), 25));
    const few = await featureStatistics(featuresOfArray('b', normals(10, 25, 4), 25));
    const forth = await frechetDistance(many, few);
    expect(forth).toBeGreaterThan(1);
    expect(await frechetDistance(few, many)).toBeCloseTo(forth, 6);
  });

  test('stops when it is interrupted', async () => {
    const a = diagonal([0, 0], [1, 2]);
    await expect(frechetDistance(a, a, AbortSignal.abort())).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});

describe('statistics', () => {
  test('of several batches are those of all rows, however far from 0', async () => {
    const dim = 3;
    const count = 2500;
    const offsets = [1e7, -5, 0.25];
    const data = Float64Array.from(normals(count, dim, 5), (v, i) => v + offsets[i % dim]!);
    const { mean, covariance } = await featureStatistics(featuresOfArray('a', data, dim));
    const column = (j: number) => Array.from({ length: count }, (_, i) => data[i * dim + j]!);
    for (let j = 0; j < dim; j++) {
      const centred = (k: number) => column(k).map((v) => v - offsets[k]!);
      const average = (values: readonly number[]) => values.reduce((s, v) => s + v, 0) / count;
      expect(mean[j]).toBeCloseTo(offsets[j]! + average(centred(j)), 7);
      for (let k = 0; k < dim; k++) {
        const [x, y] = [centred(j), centred(k)];
        const [mx, my] = [average(x), average(y)];
        const products = x.map((v, i) => (v - mx) * (y[i]! - my));
        expect(covariance[j * dim + k]).toBeCloseTo(
          products.reduce((s, v) => s + v, 0) / (count - 1),
          7,
        );
      }
    }
  });

  test.each([
    [1, 4, '"a": 1 samples are too few'],
    [2, 9000, '9000 numbers a sample; the limit is 8192'],
  ])('of %i x %i are refused', async (count, dim, message) => {
    const source = featuresOfArray('"a"', new Float32Array(count * dim), dim);
    await expect(featureStatistics(source)).rejects.toThrow(message.replace('"a": ', ''));
  });
});
