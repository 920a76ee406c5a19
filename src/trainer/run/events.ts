/** @file What a training run tells while it goes. */
import type { Tensor } from '../tensor.ts';
import type { BestModel } from './evaluation.ts';

export interface StepEvent {
  readonly kind: 'step';
  /** Steps done so far, and in all. */
  readonly step: number;
  readonly steps: number;
  /** Names are `group/name`, with the unit at the end of the name where there is one: `loss/online`, `time/step_ms`. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly stepsPerSecond: number;
  readonly etaSeconds: number;
  /** What is counted, where it is no step of a training: `reading pictures`. */
  readonly counts?: string;
}

export type TrainEvent =
  | StepEvent
  /** An earlier run goes on from here. */
  | { readonly kind: 'resumed'; readonly step: number }
  /** Samples [count, ...sample] of the averaged weights, from the same noise every time. */
  | { readonly kind: 'samples'; readonly step: number; readonly samples: Tensor<'float32'> }
  | { readonly kind: 'checkpoint'; readonly step: number; readonly file: string }
  /** An evaluation found no model before that is as good: it is in `file` now. */
  | ({ readonly kind: 'best' } & BestModel)
  /** Something that the user should know and that stops nothing. */
  | { readonly kind: 'notice'; readonly message: string };
