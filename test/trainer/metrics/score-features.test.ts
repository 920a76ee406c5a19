/** Which metrics are given for which features, under which names, and what is said beside them. */
import { describe, expect, test } from 'vitest';
import { energyDistance } from '../../../src/trainer/metrics/energy-distance.ts';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import { featureStatistics } from '../../../src/trainer/metrics/feature-statistics.ts';
import { frechetDistance } from '../../../src/trainer/metrics/frechet-distance.ts';
import {
  METRICS,
  type ScoreRequest,
  scoreFeatures,
} from '../../../src/trainer/metrics/score-features.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

function normals(count: number, dim: number, seed: number): Float32Array {
  const data = new Float32Array(count * dim);
  fillNormal(data, seed, 906, 0);
  return data;
}

const source = (name: string, count: number, dim: number, seed: number) =>
  featuresOfArray(name, normals(count, dim, seed), dim);

function request(dim: number, changes: Partial<ScoreRequest> = {}): ScoreRequest {
  return {
    real: source('real', 60, dim, 1),
    fake: source('fake', 50, dim, 2),
    extractor: 'tiny-v1',
    neighbours: 3,
    seed: 0,
    ...changes,
  };
}

describe('without a choice', () => {
  test('features give what needs no more, each name with the extractor', async () => {
    const { scores } = await scoreFeatures(request(5));
    expect(scores.map(({ name }) => name)).toEqual([
      'FID (tiny-v1)',
      'KID (tiny-v1)',
      'precision (tiny-v1)',
      'recall (tiny-v1)',
      'density (tiny-v1)',
      'coverage (tiny-v1)',
    ]);
    expect(scores.every(({ value }) => Number.isFinite(value))).toBe(true);
  });

  test('logits give the Inception score, the plane its two distances', async () => {
    const { scores } = await scoreFeatures(request(2, { logits: source('logits', 50, 4, 3) }));
    expect(scores.map(({ metric }) => metric)).toEqual(METRICS);
  });
});

test('only what is wanted is computed', async () => {
  const statistics = () => Promise.reject(new Error('not wanted'));
  const { scores, notices } = await scoreFeatures(
    request(2, { metrics: ['energy-distance', 'recall'], realStatistics: statistics }),
  );
  expect(scores.map(({ metric }) => metric)).toEqual(['recall', 'energy-distance']);
  expect(scores[1]!.value).toBe(energyDistance(normals(60, 2, 1), normals(50, 2, 2), 2));
  expect(notices).toEqual([]);
});

test('what is begun is told in turn', async () => {
  const stages: string[] = [];
  const metrics = ['recall', 'fid', 'coverage'] as const;
  await scoreFeatures(request(4, { metrics, onStage: (what) => stages.push(what) }));
  expect(stages).toEqual([
    'FID: statistics of the real samples',
    'FID: statistics of the generated samples',
    'FID: distance',
    'recall, coverage: nearest neighbours',
  ]);
});

test('known statistics stand in for the reals', async () => {
  const known = await featureStatistics(source('others', 30, 4, 9));
  const { scores } = await scoreFeatures(
    request(4, { metrics: ['fid'], realStatistics: () => Promise.resolve(known) }),
  );
  const fake = await featureStatistics(source('fake', 50, 4, 2));
  expect(scores[0]!.value).toBe(await frechetDistance(known, fake));
});

test('samples no more than dimensions, and fewer than a subset, are told', async () => {
  const { notices } = await scoreFeatures(request(50, { metrics: ['fid', 'kid'] }));
  expect(notices).toEqual([
    expect.stringMatching(/^FID: fake has 50 samples of 50 numbers: .* more than 50 samples/),
    'KID: subsets of 50 samples, not of 1000 as is usual',
  ]);
});

test.each([
  [{ fake: source('fake', 50, 3, 2) }, 'real has 4 numbers a sample, fake has 3'],
  [{ metrics: ['inception-score'] }, 'fake: there are no logits beside it'],
  [{ metrics: ['sliced-wasserstein'] }, 'real has 4 numbers a sample; sliced Wasserstein distance'],
] as const)('features that do not fit are refused: %o', async (changes, message) => {
  const scores = scoreFeatures(request(4, changes));
  await expect(scores).rejects.toThrow(message);
  await expect(scores).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
});

// The two distances of the plane are over before one could stop them.
const STOPPED = METRICS.filter((m) => m !== 'energy-distance' && m !== 'sliced-wasserstein');

test.each(STOPPED)('%s stops when it is interrupted', async (metric) => {
  const wanted = request(2, { metrics: [metric], logits: source('logits', 50, 4, 3) });
  await expect(scoreFeatures(wanted, AbortSignal.abort())).rejects.toMatchObject({
    code: 'INTERRUPTED',
  });
});
