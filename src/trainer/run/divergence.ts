/**
 * @file The rule by which a run that goes astray is stopped.
 *
 * The loss of the flow that is trained (the teacher's, or the online flow's, both |v - c|^2 summed over a
 * sample) is averaged over about 100 steps. A run has diverged when that average exceeds ten times the
 * larger of two bounds: what it was after the first 100 steps, and the number of elements of a sample,
 * which is the part of |c|^2 that the unit noise alone makes up. Students that grow without bound raise it;
 * ordinary training does not come near.
 */

const FACTOR = 10;
/** Steps that the average looks back on. */
const WINDOW = 100;

/** What the rule remembers; part of every checkpoint, so that a resumed run stops where the whole one would. */
export interface DivergenceState {
  readonly average: number;
  readonly seen: number;
  readonly reference: number;
}

export class DivergenceWatch {
  #average = 0;
  #seen = 0;
  #reference: number;

  /** `sampleSize` is the number of elements of a sample. */
  constructor(sampleSize: number) {
    this.#reference = sampleSize;
  }

  get state(): DivergenceState {
    return { average: this.#average, seen: this.#seen, reference: this.#reference };
  }

  restore(state: DivergenceState): void {
    this.#average = state.average;
    this.#seen = state.seen;
    this.#reference = state.reference;
  }

  /** Takes the loss of one step; returns average and bound when the run has diverged. */
  check(loss: number): { average: number; bound: number } | undefined {
    this.#seen++;
    // The plain mean of the first steps, then a moving one.
    this.#average += (loss - this.#average) / Math.min(this.#seen, WINDOW);
    if (this.#seen < WINDOW) return undefined;
    if (this.#seen === WINDOW) this.#reference = Math.max(this.#reference, this.#average);
    const bound = FACTOR * this.#reference;
    return this.#average > bound ? { average: this.#average, bound } : undefined;
  }
}
