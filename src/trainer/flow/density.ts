/** @file Densities of the training time t in [0, 1] (0 = data, 1 = noise). */
import { z } from 'zod';
import { fillNormal, fillUniform } from '../random/philox.ts';

const range = {
  min: z.number().min(0).max(1).default(0.02),
  max: z.number().min(0).max(1).default(0.98),
};

/**
 * `uniform` in [min, max]; `logit-normal`: sigmoid(mean + std N(0, 1)), clamped to [min, max] (Esser et al. 2024), which
 * for noise levels sigma = t / (1 - t) is the log-normal density of EDM; `edm-schedule`: evenly over EDM's sampling
 * schedule (rho = 7) between the noise levels of min and max, as SiD trains its generator.
 */
export const TimeDensitySchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('uniform'), ...range }),
    z.strictObject({
      kind: z.literal('logit-normal'),
      mean: z.number().default(0),
      std: z.number().gt(0).default(1),
      ...range,
    }),
    z.strictObject({ kind: z.literal('edm-schedule'), ...range }),
  ])
  .refine((d) => d.min < d.max, { error: 'min must be below max', path: ['max'] })
  .refine((d) => d.kind !== 'edm-schedule' || d.max < 1, {
    error: "EDM's schedule ends before pure noise, t = 1",
    path: ['max'],
  });

export type TimeDensity = z.infer<typeof TimeDensitySchema>;

/** Exponent of EDM's sampling schedule, which is even in sigma^(1 / rho) (Karras et al. 2022, eq. 5). */
const RHO = 7;

/** Fills `out` with times: a function of (seed, stream, step, index). */
export function fillTimes(
  out: Float32Array,
  density: TimeDensity,
  seed: number,
  stream: number,
  step: number,
): void {
  const { min, max } = density;
  if (density.kind === 'uniform') {
    fillUniform(out, seed, stream, step);
    for (let i = 0; i < out.length; i++) out[i] = min + (max - min) * out[i]!;
    return;
  }
  if (density.kind === 'edm-schedule') {
    const [first, last] = [min, max].map((t) => (t / (1 - t)) ** (1 / RHO)) as [number, number];
    fillUniform(out, seed, stream, step);
    for (let i = 0; i < out.length; i++) {
      const sigma = (first + (last - first) * out[i]!) ** RHO;
      out[i] = sigma / (1 + sigma);
    }
    return;
  }
  fillNormal(out, seed, stream, step);
  for (let i = 0; i < out.length; i++) {
    const t = 1 / (1 + Math.exp(-(density.mean + density.std * out[i]!)));
    out[i] = Math.min(Math.max(t, min), max);
  }
}
