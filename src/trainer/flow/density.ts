/** @file Densities of the training time t in [0, 1] (0 = data, 1 = noise). */
import { z } from 'zod';
import { fillNormal, fillUniform } from '../random/philox.ts';

const range = {
  min: z.number().min(0).max(1).default(0.02),
  max: z.number().min(0).max(1).default(0.98),
};

/** `uniform` in [min, max], or `logit-normal`: sigmoid(mean + std N(0, 1)), clamped to [min, max] (Esser et al. 2024). */
export const TimeDensitySchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('uniform'), ...range }),
    z.strictObject({
      kind: z.literal('logit-normal'),
      mean: z.number().default(0),
      std: z.number().gt(0).default(1),
      ...range,
    }),
  ])
  .refine((d) => d.min < d.max, { error: 'min must be below max', path: ['max'] });

export type TimeDensity = z.infer<typeof TimeDensitySchema>;

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
  fillNormal(out, seed, stream, step);
  for (let i = 0; i < out.length; i++) {
    const t = 1 / (1 + Math.exp(-(density.mean + density.std * out[i]!)));
    out[i] = Math.min(Math.max(t, min), max);
  }
}
