/** @file What every training loop is told. */
import type { TimeDensity } from '../flow/density.ts';
import type { Schedule } from '../optim/schedule.ts';

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
  /** Of the times at which the loss is taken. */
  readonly density: TimeDensity;
  /** Decides every random draw. */
  readonly seed: number;
  readonly threads?: number;
}
