/** @file The kernel distance (Binkowski et al. 2018), called KID in the space of Inception-v3. */
import type { Value } from '../graph/graph.ts';
import { add, div, gemm, mul, reduceSum, reduceSumSquare } from '../graph/ops.ts';
import { fillUniform } from '../random/philox.ts';
import type { Seed } from '../random/seed.ts';
import { STREAMS } from '../random/streams.ts';
import { product } from './engine-product.ts';
import { throwIfStopped } from './event-loop-turns.ts';
import { assertSamples, type FeatureSource } from './feature-source.ts';

/** The samples of each set that one estimate compares. */
export interface Subset {
  readonly real: Int32Array;
  readonly fake: Int32Array;
}

export interface KernelDistance {
  /** Mean over the subsets. */
  readonly mean: number;
  /** Standard deviation over the subsets (without n - 1), the error that the literature gives. */
  readonly std: number;
  readonly perSubset: readonly number[];
}

/** As torch-fidelity and clean-fid have it. */
export const KERNEL_SUBSETS = { count: 100, size: 1000 } as const;

/** Random subsets without repetition; of all samples when there are fewer than `KERNEL_SUBSETS.size`. */
export function drawSubsets(realCount: number, fakeCount: number, seed: Seed): Subset[] {
  const size = Math.min(KERNEL_SUBSETS.size, realCount, fakeCount);
  return Array.from({ length: KERNEL_SUBSETS.count }, (_, i) => ({
    real: drawRows(realCount, size, seed, 2 * i),
    fake: drawRows(fakeCount, size, seed, 2 * i + 1),
  }));
}

/** `size` different rows of `count`: the first of a shuffle by Fisher and Yates. */
function drawRows(count: number, size: number, seed: Seed, step: number): Int32Array {
  const rows = Int32Array.from({ length: count }, (_, i) => i);
  const draws = new Float32Array(size);
  fillUniform(draws, seed, STREAMS.metrics, step);
  for (let i = 0; i < size; i++) {
    const at = i + Math.floor(draws[i]! * (count - i));
    const chosen = rows[at]!;
    rows[at] = rows[i]!;
    rows[i] = chosen;
  }
  return rows.slice(0, size);
}

/**
 * Unbiased squared maximum mean discrepancy under the kernel (x.y / dim + 1)^3, a value for each subset; all subsets have
 * the size of the first. Throws VALUE_OUT_OF_RANGE for fewer than two samples, and INTERRUPTED.
 */
export async function kernelDistance(
  real: FeatureSource,
  fake: FeatureSource,
  subsets: readonly Subset[],
  signal?: AbortSignal,
): Promise<KernelDistance> {
  const { dim } = real;
  const m = subsets[0]?.real.length ?? 0;
  const n = subsets[0]?.fake.length ?? 0;
  assertSamples(real, 2, 'KID');
  assertSamples(fake, 2, 'KID');
  using kernels = product('kernel distance', { x: [m, dim], y: [n, dim] }, ({ x, y }) => ({
    within: withoutDiagonal(x!, dim),
    among: withoutDiagonal(y!, dim),
    between: reduceSum(kernel(gemm(x!, y!, undefined, { transB: true }), dim)),
  }));
  const { memory } = kernels;
  const perSubset: number[] = [];
  for (const subset of subsets) {
    throwIfStopped(signal);
    await gather(real, subset.real, memory['x']!);
    await gather(fake, subset.fake, memory['y']!);
    await kernels.run();
    const [within, among, between] = ['within', 'among', 'between'].map((key) => memory[key]![0]!);
    perSubset.push(within! / (m * (m - 1)) + among! / (n * (n - 1)) - (2 * between!) / (m * n));
  }
  return { ...meanAndDeviation(perSubset), perSubset };
}

/** Mean and standard deviation, without n - 1. */
export function meanAndDeviation(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance) };
}

/** (dots / dim + 1)^3 */
function kernel(dots: Value, dim: number): Value {
  const base = add(div(dots, dim), 1);
  return mul(mul(base, base), base);
}

/** Sum of the kernel over pairs of different rows. */
function withoutDiagonal(x: Value, dim: number): Value {
  const all = reduceSum(kernel(gemm(x, x, undefined, { transB: true }), dim));
  return add(all, mul(reduceSum(kernel(reduceSumSquare(x, [1]), dim)), -1));
}

async function gather(source: FeatureSource, rows: Int32Array, into: Float64Array): Promise<void> {
  await Promise.all(
    Array.from(rows, async (row, i) => into.set(await source.rows(row, row + 1), i * source.dim)),
  );
}
