/** Metrics of given features by the packages of the field: torch-fidelity, clean-fid, prdc. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import { featureStatistics } from '../../../src/trainer/metrics/feature-statistics.ts';
import { frechetDistance } from '../../../src/trainer/metrics/frechet-distance.ts';
import { inceptionScore } from '../../../src/trainer/metrics/inception-score.ts';
import { kernelDistance } from '../../../src/trainer/metrics/kernel-distance.ts';
import { neighbourShares } from '../../../src/trainer/metrics/neighbours.ts';
import { goldenCases } from '../../support/golden.ts';

const SidecarSchema = z.object({
  config: z.object({ k: z.number(), subsets: z.number(), subset_size: z.number() }),
  fid: z.object({
    values: z.object({ 'own, symmetric eigenproblem': z.number() }),
    rank_deficient: z.object({ rows: z.number(), 'own, symmetric eigenproblem': z.number() }),
  }),
  kid: z.object({ mean: z.number(), std: z.number(), per_subset: z.array(z.number()) }),
  prdc: z.object({
    precision: z.number(),
    recall: z.number(),
    density: z.number(),
    coverage: z.number(),
  }),
  inception_score: z.object({ mean: z.number(), std: z.number() }),
});

const FID_TOLERANCE = 1e-6;
const RANK_DEFICIENT_TOLERANCE = 1e-4;
const TOLERANCE = 1e-9;
/** The Inception score's splits in the generator. */
const SPLITS = 4;

describe.each(goldenCases('metrics'))('$name', (golden) => {
  const sidecar = SidecarSchema.parse(golden.sidecar);
  const load = async (name: string) => {
    const { data, shape } = (await golden.tensors()).get(name)!;
    return { data, dim: shape[1]! };
  };
  const features = async (name: string, rows?: number) => {
    const { data, dim } = await load(name);
    const all = Float32Array.from(data as Float32Array);
    return featuresOfArray(name, rows === undefined ? all : all.slice(0, rows * dim), dim);
  };
  const near = (value: number, expected: number, tolerance: number) =>
    expect(Math.abs(value - expected)).toBeLessThanOrEqual(tolerance);

  test('FID', async () => {
    const [real, fake] = await Promise.all(
      ['real', 'fake'].map(async (name) => featureStatistics(await features(name))),
    );
    const expected = sidecar.fid.values['own, symmetric eigenproblem'];
    near(await frechetDistance(real!, fake!), expected, FID_TOLERANCE);
    near(await frechetDistance(fake!, real!), expected, FID_TOLERANCE);
  });

  test('FID of fewer samples than dimensions', async () => {
    const { rows, 'own, symmetric eigenproblem': expected } = sidecar.fid.rank_deficient;
    const [real, fake] = await Promise.all(
      ['real', 'fake'].map(async (name) => featureStatistics(await features(name, rows))),
    );
    near(await frechetDistance(real!, fake!), expected, RANK_DEFICIENT_TOLERANCE);
  });

  test('KID', async () => {
    const size = sidecar.config.subset_size;
    const [real, fake] = await Promise.all(
      ['kid.real_rows', 'kid.fake_rows'].map(async (name) => (await load(name)).data as Int32Array),
    );
    const subsets = Array.from({ length: sidecar.config.subsets }, (_, i) => ({
      real: real!.slice(i * size, (i + 1) * size),
      fake: fake!.slice(i * size, (i + 1) * size),
    }));
    const got = await kernelDistance(await features('real'), await features('fake'), subsets);
    near(got.mean, sidecar.kid.mean, TOLERANCE);
    near(got.std, sidecar.kid.std, TOLERANCE);
    expect(got.perSubset).toHaveLength(sidecar.kid.per_subset.length);
    got.perSubset.forEach((value, i) => {
      near(value, sidecar.kid.per_subset[i]!, TOLERANCE);
    });
  });

  test('precision, recall, density and coverage', async () => {
    const got = await neighbourShares(
      await features('real'),
      await features('fake'),
      sidecar.config.k,
    );
    const { precision, recall, density, coverage } = sidecar.prdc;
    expect(got).toEqual({ precision, recall, density: expect.closeTo(density, 12), coverage });
  });

  test('Inception score', async () => {
    const got = await inceptionScore(await features('logits'), SPLITS);
    near(got.mean, sidecar.inception_score.mean, TOLERANCE);
    near(got.std, sidecar.inception_score.std, TOLERANCE);
  });
});
