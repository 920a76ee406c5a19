/** @file Who draws random numbers: each purpose has a stream of its own, so that none depends on another. */

/** Stream numbers of the counter-based generator; add new ones at the end, since a changed number changes every run. */
export const STREAMS = {
  /** Initial weights. */
  init: 0,
  /** Which samples of the data set, or where on its shape. */
  data: 1,
  /** Noise that belongs to the data set itself. */
  dataNoise: 2,
  labels: 3,
  teacherNoise: 4,
  teacherTime: 5,
  onlineLatent: 6,
  onlineNoise: 7,
  onlineTime: 8,
  studentLatent: 9,
  studentNoise: 10,
  studentTime: 11,
  /** Pictures shown while training, and samples drawn to measure. */
  preview: 12,
  evaluation: 13,
  /** Students of several steps: which step is trained, and the noise added between steps. */
  stepChoice: 14,
  transition: 15,
  /** The real-data term. */
  realNoise: 16,
  realTime: 17,
  /** Which pictures of a batch are mirrored. */
  dataFlip: 18,
  /** Which samples a metric compares. */
  metrics: 19,
  /** What the identities of the theory are measured with. */
  theory: 20,
  /** The discriminator's noise, on generated and on real samples, and its times. */
  ganNoise: 21,
  ganRealNoise: 22,
  ganTime: 23,
  /** Masks of dropout; what pictures are changed by, chances and amounts. */
  dropout: 24,
  augment: 25,
  augmentAmount: 26,
} as const;
