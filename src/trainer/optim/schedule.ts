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
  const done = Math.min(step / Math.max(steps, 1), 1);
  const fall = {
    constant: 1,
    linear: 1 - done,
    cosine: (1 + Math.cos(Math.PI * done)) / 2,
  }[schedule];
  return peak * rise * (schedule === 'constant' ? 1 : floor + (1 - floor) * fall);
}

/** A run that goes on with another number of steps than it was laid out over. */
export interface Stretch {
  /** Steps done when that began. */
  readonly at: number;
  /** The number of steps before. */
  readonly from: number;
}

/** What the rate of a run is made of; its `steps` are those after the stretch, if there is one. */
interface RatePlan {
  readonly schedule: Schedule;
  readonly warmup: number;
  readonly steps: number;
}

/**
 * Rate at `step` of a run. After a stretch it goes over from what was laid out before to what is now, in equal parts within
 * the steps of a warm-up: a jump from the end of one schedule into the middle of another throws a run far back.
 */
export function runRate(
  peak: number,
  { schedule, warmup, steps }: RatePlan,
  step: number,
  stretch?: Stretch,
): number {
  const now = learningRate(peak, schedule, warmup, step, steps);
  if (!stretch || warmup === 0) return now;
  const share = Math.min((step - stretch.at + 1) / warmup, 1);
  const before = learningRate(peak, schedule, warmup, step, stretch.from);
  return before + (now - before) * share;
}
