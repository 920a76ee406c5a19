/** @file What every training loop is told, and what its models' files say of it. */
import type { TimeDensity } from '../flow/density.ts';
import type { Schedule } from '../optim/schedule.ts';
import { engine } from '../runtime/engine.ts';

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

/** The options as facts for a model's file. */
export function loopFacts(options: LoopOptions) {
  return {
    batch: options.batch,
    seed: options.seed,
    learningRate: options.learningRate,
    schedule: options.schedule,
    warmup: options.warmup,
    emaDecay: options.emaDecay,
    clipNorm: options.clipNorm,
    density: JSON.stringify(options.density),
    threads: engine().threads,
  };
}
