/**
 * @file Eigenvalues of a symmetric matrix: Householder's reduction to tridiagonal form, then the implicit QL method.
 *
 * Golub and Van Loan, "Matrix Computations", 8.3; EISPACK tred1 and imtql1. Values alone need a seventh of the work of
 * values with vectors, which is what libraries for JavaScript give.
 */
import { bug } from '../../errors.ts';
import { eventLoopTurns } from './event-loop-turns.ts';

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Element i lies between diagonal elements i and i + 1; the last is 0. */
  readonly beside: Float64Array;
}

/** EISPACK's limit; two or three are usual. */
const MAX_SWEEPS = 60;

/**
 * Eigenvalues in no order, each to within rounding of the largest. Reads the lower triangle of `matrix` [size, size]
 * and overwrites it. Throws INTERRUPTED.
 */
export async function symmetricEigenvalues(
  matrix: Float64Array,
  size: number,
  signal?: AbortSignal,
): Promise<Float64Array> {
  return tridiagonalEigenvalues(await tridiagonalise(matrix, size, signal));
}

async function tridiagonalise(
  a: Float64Array,
  size: number,
  signal: AbortSignal | undefined,
): Promise<Tridiagonal> {
  const diagonal = new Float64Array(size);
  const beside = new Float64Array(size);
  const u = new Float64Array(size);
  const p = new Float64Array(size);
  // The update A - v w^T - w v^T of the step before is made in the pass that forms A u: half the passes over memory.
  const v = new Float64Array(size);
  const w = new Float64Array(size);
  const turn = eventLoopTurns(signal);
  for (let k = size - 1; k > 0; k--) {
    const row = a.subarray(k * size, k * size + k + 1);
    for (let j = 0; j <= k; j++) row[j]! -= v[k]! * w[j]! + w[k]! * v[j]!;
    diagonal[k] = row[k]!;
    let square = 0;
    for (let j = 0; j < k; j++) square += row[j]! ** 2;
    const last = row[k - 1]!;
    const reflected = last > 0 ? -Math.sqrt(square) : Math.sqrt(square);
    beside[k - 1] = reflected;
    u.set(row.subarray(0, k));
    u[k - 1]! -= reflected;
    updateAndMultiply(a, size, k, v, w, u, p);
    // |u|^2 / 2; 0 where the row is 0 already.
    const half = square - last * reflected;
    let dot = 0;
    for (let j = 0; j < k; j++) {
      p[j] = half === 0 ? 0 : p[j]! / half;
      dot += u[j]! * p[j]!;
    }
    for (let j = 0; j < k; j++) {
      v[j] = half === 0 ? 0 : u[j]!;
      w[j] = half === 0 ? 0 : p[j]! - (dot / (2 * half)) * u[j]!;
    }
    await turn();
  }
  if (size > 0) diagonal[0] = a[0]! - 2 * v[0]! * w[0]!;
  return { diagonal, beside };
}

/** A - v w^T - w v^T for the first k rows of the lower triangle, and p = A u of the result. */
function updateAndMultiply(
  a: Float64Array,
  size: number,
  k: number,
  v: Float64Array,
  w: Float64Array,
  u: Float64Array,
  p: Float64Array,
): void {
  p.fill(0, 0, k);
  for (let i = 0; i < k; i++) {
    const row = i * size;
    const ui = u[i]!;
    const vi = v[i]!;
    const wi = w[i]!;
    let sum = 0;
    for (let j = 0; j < i; j++) {
      const updated = a[row + j]! - vi * w[j]! - wi * v[j]!;
      a[row + j] = updated;
      sum += updated * u[j]!;
      p[j]! += updated * ui;
    }
    const updated = a[row + i]! - 2 * vi * wi;
    a[row + i] = updated;
    p[i]! += sum + updated * ui;
  }
}

/** Overwrites both vectors; the eigenvalues are what becomes of the diagonal. */
function tridiagonalEigenvalues({ diagonal: d, beside: e }: Tridiagonal): Float64Array {
  const size = d.length;
  for (let low = 0; low < size; low++) {
    for (let sweep = 0; ; sweep++) {
      let high = low;
      while (high < size - 1 && !isNegligible(e[high]!, d[high]!, d[high + 1]!)) high++;
      if (high === low) break;
      if (sweep === MAX_SWEEPS) throw bug(`eigenvalue ${low} of ${size} does not converge`);
      sweepUp(d, e, low, high);
    }
  }
  return d;
}

function isNegligible(beside: number, above: number, below: number): boolean {
  return Math.abs(beside) <= Number.EPSILON * (Math.abs(above) + Math.abs(below));
}

/** One implicit QL step with Wilkinson's shift on rows low to high. */
function sweepUp(d: Float64Array, e: Float64Array, low: number, high: number): void {
  const slope = (d[low + 1]! - d[low]!) / (2 * e[low]!);
  const root = Math.hypot(slope, 1);
  let g = d[high]! - d[low]! + e[low]! / (slope + (slope >= 0 ? root : -root));
  let s = 1;
  let c = 1;
  let p = 0;
  for (let i = high - 1; i >= low; i--) {
    const f = s * e[i]!;
    const b = c * e[i]!;
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1]! -= p;
      e[high] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    const t = (d[i]! - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
  }
  d[low]! -= p;
  e[low] = g;
  e[high] = 0;
}
