/** @file What a training run tells while it goes. */

export interface TrainEvent {
  /** Steps done so far, and in all. */
  readonly step: number;
  readonly steps: number;
  /** Names are `group/name`, with the unit at the end of the name where there is one: `loss/online`, `time/step_ms`. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly stepsPerSecond: number;
  readonly etaSeconds: number;
}
