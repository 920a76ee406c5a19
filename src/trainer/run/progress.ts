/** @file Rate and remaining time of a run. */

/** Weight of the newest step in the moving average of the step time. */
const NEWEST = 0.05;

export class Progress {
  readonly #steps: number;
  #last = performance.now();
  #average: number | undefined;

  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Call once a step is done; `step` counts from 1. */
  tick(step: number): { stepsPerSecond: number; etaSeconds: number; stepMs: number } {
    const now = performance.now();
    const stepMs = now - this.#last;
    this.#last = now;
    this.#average =
      this.#average === undefined ? stepMs : this.#average + NEWEST * (stepMs - this.#average);
    const stepsPerSecond = 1000 / Math.max(this.#average, 1e-6);
    return { stepsPerSecond, etaSeconds: (this.#steps - step) / stepsPerSecond, stepMs };
  }
}
