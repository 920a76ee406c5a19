/** @file What training asks of a data set. Batches are a pure function of (seed, step). */

export interface Batch {
  /** [count, ...shape], row-major. */
  readonly x: Float32Array;
  /** [count], present when the set has classes. */
  readonly labels?: Int32Array;
}

export interface Dataset {
  readonly name: string;
  /** Shape of one sample: [2] for points, [channels, height, width] in [-1, 1] for pictures. */
  readonly shape: readonly number[];
  /** Number of classes; 0 when there are no labels. */
  readonly classes: number;
  /** One text per sample, in the order of the samples, for sets that have them. */
  readonly captions?: readonly string[];
  /** sha256 of what defines the data (file contents, or name and parameters), hexadecimal. */
  readonly hash: string;
  /** `count` samples drawn with replacement; the same (seed, step) gives the same batch. */
  batch(seed: number, step: number, count: number): Batch;
  /** For sets that end: how many samples there are, and those from one on in order, none of them mirrored. */
  readonly whole?: { readonly count: number; range(from: number, count: number): Batch };
}
