/** @file What every training loop is told. */
import type { TimeDensity } from '../flow/density.ts';
import type { Schedule } from '../optim/schedule.ts';

/** Raised when the same configuration gives other numbers than before, so that no run goes on across the change. */
const NUMERICS = 1;

export interface LoopOptions {
  /** Updates of the network that is trained. */
  readonly steps: number;
  readonly batch: number;
  /** Adam's rate at its highest point. */
  readonly learningRate: number;
  /** Steps over which the rate rises from 0. */
  readonly warmup: number;
  readonly schedule: Schedule;
  /** Decay of the moving average of the weights; 0 = the last step's weights. */
  readonly emaDecay: number;
  /** Longest gradient that is not shortened; 0 = none is. */
  readonly clipNorm: number;
  /** Largest size of an element of the gradient; 0 = any. */
  readonly clipValue: number;
  /** Of the times at which the loss is taken. */
  readonly density: TimeDensity;
  /** Decides every random draw. */
  readonly seed: number;
  /** Compute a network's blocks again in the backward pass instead of keeping them: less memory, more time, the same numbers to rounding. */
  readonly recompute?: boolean | undefined;
}

/** The options that decide a run's numbers: all but the number of steps, and `recompute`. */
export function loopConfiguration(options: LoopOptions) {
  const { batch, learningRate, warmup, schedule, emaDecay, clipNorm, clipValue, density, seed } =
    options;
  return {
    numerics: NUMERICS,
    batch,
    learningRate,
    warmup,
    schedule,
    emaDecay,
    clipNorm,
    clipValue,
    density,
    seed,
  };
}
