/** @file Mean and covariance of features, in float64, batch by batch. */
import { FlowstepError } from '../../errors.ts';
import { gemm } from '../graph/ops.ts';
import { type Product, product } from './engine-product.ts';
import { assertSamples, BATCH_ROWS, type FeatureSource, forEachBatch } from './feature-source.ts';

export interface FeatureStatistics {
  readonly count: number;
  /** [dim] */
  readonly mean: Float64Array;
  /** [dim, dim], divided by count - 1. */
  readonly covariance: Float64Array;
}

/** A covariance has the square of this many numbers: 512 MiB. */
const MAX_DIM = 8192;

/**
 * Statistics of all samples, of which one batch is in memory at a time. Throws VALUE_OUT_OF_RANGE for fewer than two
 * samples, more than 8192 dimensions or values that are not finite, and INTERRUPTED.
 */
export async function featureStatistics(
  source: FeatureSource,
  signal?: AbortSignal,
): Promise<FeatureStatistics> {
  const { count, dim } = source;
  assertSamples(source, 2, 'a covariance');
  if (dim > MAX_DIM) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `${source.name} has ${dim} numbers a sample; the limit is ${MAX_DIM}`,
      { hint: 'Take features of fewer dimensions, such as those before the last layer.' },
    );
  }
  const batchRows = Math.min(BATCH_ROWS, count);
  using gram = product('covariance', { x: [batchRows, dim], sum: [dim, dim] }, ({ x, sum }) => ({
    sum: gemm(x!, x!, sum, { transA: true }),
  }));
  const pivot = new Float64Array(dim);
  const shift = new Float64Array(dim);
  await forEachBatch(source, signal, async (rows, from) => {
    // The first batch's mean is taken from all, as x^2 - mean^2 cancels where the mean is large beside the deviation.
    if (from === 0) pivot.set(columnMeans(rows, dim));
    addCentred(gram, rows, pivot, shift);
    await gram.run();
  });
  const { sum } = gram.memory;
  const mean = pivot.map((p, j) => p + shift[j]! / count);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < dim; j++) {
      const at = i * dim + j;
      sum![at] = (sum![at]! - (shift[i]! * shift[j]!) / count) / (count - 1);
    }
  }
  return { count, mean, covariance: sum! };
}

/** Rows less the pivot become the product's input, with zeros after them, and are added to `shift`. */
function addCentred(
  { memory }: Product,
  rows: Float64Array,
  pivot: Float64Array,
  shift: Float64Array,
): void {
  const x = memory['x']!;
  const dim = pivot.length;
  for (let start = 0; start < rows.length; start += dim) {
    for (let j = 0; j < dim; j++) {
      const centred = rows[start + j]! - pivot[j]!;
      x[start + j] = centred;
      shift[j]! += centred;
    }
  }
  x.fill(0, rows.length);
}

/** Means over rows [n, dim]. */
export function columnMeans(rows: Float64Array, dim: number): Float64Array {
  const means = new Float64Array(dim);
  for (let start = 0; start < rows.length; start += dim) {
    for (let j = 0; j < dim; j++) means[j]! += rows[start + j]!;
  }
  return means.map((sum) => (sum * dim) / rows.length);
}
