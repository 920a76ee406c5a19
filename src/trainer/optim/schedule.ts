/** @file Learning-rate schedules. */

export const SCHEDULES = ['constant', 'linear', 'cosine'] as const;
export type Schedule = (typeof SCHEDULES)[number];

/** Rate at `step` (from 0) of `steps`: a linear warm-up, then constant, or falling to `floor` times the peak. */
export function learningRate(
  peak: number,
  schedule: Schedule,
  warmup: number,
  step: number,
  steps: number,
  floor = 0.01,
): number {
  const rise = warmup > 0 ? Math.min((step + 1) / warmup, 1) : 1;
  const done = step / Math.max(steps, 1);
  const fall = {
    constant: 1,
    linear: 1 - done,
    cosine: (1 + Math.cos(Math.PI * done)) / 2,
  }[schedule];
  return peak * rise * (schedule === 'constant' ? 1 : floor + (1 - floor) * fall);
}
