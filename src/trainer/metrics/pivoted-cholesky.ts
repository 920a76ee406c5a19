/** @file Cholesky's factor of a covariance that may be singular, by taking the largest remaining variance first. */
import { eventLoopTurns } from './event-loop-turns.ts';

export interface Factor {
  /** Rows of the factor: the rank of the matrix as far as rounding shows it. */
  readonly rank: number;
  /**
   * F [rank, size] with F^T F = the matrix, the largest row last: the eigenvalues of F S F^T are then several digits
   * better, as the reduction to tridiagonal form begins at the end.
   */
  readonly factor: Float64Array;
}

/**
 * Factors a positive semi-definite matrix [size, size], of which the upper triangle is read and overwritten. What is
 * left when no variance exceeds rounding is taken for 0 (LAPACK dpstrf's bound). Throws INTERRUPTED.
 */
export async function pivotedCholesky(
  matrix: Float64Array,
  size: number,
  signal?: AbortSignal,
): Promise<Factor> {
  const order = Array.from({ length: size }, (_, i) => i);
  const variance = (i: number) => matrix[i * size + i]!;
  const largestFrom = (k: number) => {
    let best = k;
    for (let i = k + 1; i < size; i++) if (variance(i) > variance(best)) best = i;
    return best;
  };
  const bound = size === 0 ? 0 : size * Number.EPSILON * variance(largestFrom(0));
  const turn = eventLoopTurns(signal);
  let rank = 0;
  for (; rank < size; rank++) {
    const pivot = largestFrom(rank);
    if (!(variance(pivot) > bound)) break;
    exchange(matrix, size, rank, pivot);
    [order[rank], order[pivot]] = [order[pivot]!, order[rank]!];
    eliminate(matrix, size, rank);
    await turn();
  }
  const factor = new Float64Array(rank * size);
  for (let i = 0; i < rank; i++) {
    const row = (rank - 1 - i) * size;
    for (let j = i; j < size; j++) factor[row + order[j]!] = matrix[i * size + j]!;
  }
  return { rank, factor };
}

/** Exchanges rows and columns k <= p of a symmetric matrix that is there as its upper triangle. */
function exchange(a: Float64Array, size: number, k: number, p: number): void {
  if (k === p) return;
  const swap = (x: number, y: number) => {
    const kept = a[x]!;
    a[x] = a[y]!;
    a[y] = kept;
  };
  for (let i = 0; i < k; i++) swap(i * size + k, i * size + p);
  swap(k * size + k, p * size + p);
  for (let i = k + 1; i < p; i++) swap(k * size + i, i * size + p);
  for (let j = p + 1; j < size; j++) swap(k * size + j, p * size + j);
}

/** Makes row k the factor's, and takes its share from the rows below. */
function eliminate(a: Float64Array, size: number, k: number): void {
  const row = a.subarray(k * size, (k + 1) * size);
  const scale = 1 / Math.sqrt(row[k]!);
  for (let j = k; j < size; j++) row[j]! *= scale;
  for (let i = k + 1; i < size; i++) {
    const below = a.subarray(i * size, (i + 1) * size);
    const share = row[i]!;
    for (let j = i; j < size; j++) below[j]! -= share * row[j]!;
  }
}
