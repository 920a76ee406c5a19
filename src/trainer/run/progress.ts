/** @file Rate and remaining time of a run. */

/** Weight of the newest step in the moving average of the step time. */
const NEWEST = 0.05;

export class Progress {
  readonly #steps: number;
  #average: number | undefined;

  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Call once step number `step` (from 1) is done, which took `stepMs`. */
  tick(step: number, stepMs: number): { stepsPerSecond: number; etaSeconds: number } {
    this.#average =
      this.#average === undefined ? stepMs : this.#average + NEWEST * (stepMs - this.#average);
    const stepsPerSecond = 1000 / Math.max(this.#average, 1e-6);
    return { stepsPerSecond, etaSeconds: (this.#steps - step) / stepsPerSecond };
  }
}
