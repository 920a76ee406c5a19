/** @file The Inception score (Salimans et al. 2016) of a classifier's logits. */
import { assertSamples, type FeatureSource, forEachBatch } from './feature-source.ts';
import { meanAndDeviation } from './kernel-distance.ts';

export interface InceptionScore {
  readonly mean: number;
  /** Standard deviation over the splits, without n - 1. */
  readonly std: number;
}

/** As in the first implementation. */
export const INCEPTION_SPLITS = 10;

/**
 * exp E KL(p(y|x) || p(y)) of logits [N, classes], for consecutive splits of near equal size. Throws VALUE_OUT_OF_RANGE
 * when a split would be empty, and INTERRUPTED.
 */
export async function inceptionScore(
  logits: FeatureSource,
  splits: number,
  signal?: AbortSignal,
): Promise<InceptionScore> {
  const { count, dim } = logits;
  assertSamples(logits, splits, `the Inception score of ${splits} splits`);
  const parts = Array.from({ length: splits }, () => ({
    count: 0,
    plogp: 0,
    p: new Float64Array(dim),
  }));
  let split = 0;
  await forEachBatch(logits, signal, (rows, from) => {
    for (let i = 0; i < rows.length / dim; i++) {
      if (from + i >= Math.floor(((split + 1) * count) / splits)) split++;
      const part = parts[split]!;
      part.count++;
      part.plogp += addProbabilities(rows.subarray(i * dim, (i + 1) * dim), part.p);
    }
  });
  // E KL = E sum p log p - sum E[p] log E[p]: one pass over the logits is enough.
  const scores = parts.map((part) => {
    const marginal = part.p.reduce((sum, p) => sum + xLogX(p / part.count), 0);
    return Math.exp(part.plogp / part.count - marginal);
  });
  return meanAndDeviation(scores);
}

/** Adds softmax(row) to `sums`; returns sum p log p. */
function addProbabilities(row: Float64Array, sums: Float64Array): number {
  const highest = row.reduce((max, v) => Math.max(max, v), Number.NEGATIVE_INFINITY);
  const exps = row.map((v) => Math.exp(v - highest));
  const total = exps.reduce((sum, v) => sum + v, 0);
  let plogp = 0;
  for (let j = 0; j < row.length; j++) {
    const p = exps[j]! / total;
    sums[j]! += p;
    plogp += xLogX(p);
  }
  return plogp;
}

function xLogX(x: number): number {
  return x === 0 ? 0 : x * Math.log(x);
}
