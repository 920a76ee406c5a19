/** @file What a training method is to the loop that runs it. */
import type { Json } from '../files/canonical-json.ts';
import type { Stretch } from '../optim/schedule.ts';
import type { Tensor } from '../tensor.ts';
import type { FlowModel } from './model.ts';

export interface StepResult {
  /** Named as in StepEvent. */
  readonly metrics: Readonly<Record<string, number>>;
  /** What was not finite, if anything; then the step changed nothing. */
  readonly notFinite?: string;
}

/** A method with its networks and random draws. Everything it does is a function of its configuration, its state and the step. */
export interface Trainer<Models extends Readonly<Record<string, FlowModel>>> {
  /** Everything that decides the numbers, except the number of steps. */
  readonly configuration: Readonly<Record<string, Json>>;
  /** The metric that tells whether the run still converges: a loss, summed over a sample. */
  readonly watched: string;
  /** Elements of one sample. */
  readonly sampleSize: number;
  /** What a checkpoint holds: flat float32 vectors, the trainer's own memory, as of the last `download`. */
  readonly state: ReadonlyMap<string, Float32Array>;
  /** Step number `index`, counted from 0. */
  step(index: number): Promise<StepResult>;
  /** Goes on as if `steps` steps had led to what is in `state` now; the rate goes over a stretch as `runRate` says. */
  resumeAt(steps: number, stretch?: Stretch): void;
  /** Brings `state` up to date; before it, `averaged` or `models` is read. Does nothing on the CPU. */
  download(): Promise<void>;
  /** Samples of the averaged weights, from the same noise every time. Throws INTERRUPTED. */
  samples(signal?: AbortSignal): Promise<Tensor<'float32'>>;
  /** What is trained, over the trainer's own memory: the averaged weights as they are now. */
  averaged(): FlowModel;
  /** Copies of the models as they are now. */
  models(): Models;
  dispose(): void;
}
