/** @file Class labels as the graph takes them. */
import { fillIndices } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';

/** The feed of a step whose network takes classes. */
export const LABELS_FEED = { labels: { shape: [], dtype: 'int64' } } as const;

/** Writes label(k) into every element. */
export function setLabels(out: BigInt64Array, label: (k: number) => number): void {
  for (let k = 0; k < out.length; k++) out[k] = BigInt(label(k));
}

/** Classes drawn uniformly, a function of (seed, draw). */
export function randomLabels(
  out: BigInt64Array,
  classes: number,
  seed: number,
  draw: number,
): void {
  const drawn = new Int32Array(out.length);
  fillIndices(drawn, classes, seed, STREAMS.labels, draw);
  setLabels(out, (k) => drawn[k]!);
}
