/** @file The sliced 2-Wasserstein distance of two sets of points in the plane (Bonneel et al. 2015). */
import { FlowstepError } from '../../errors.ts';

/** Evenly spread over the half circle; in the plane random ones, as higher dimensions need, would only add noise. */
const DIRECTIONS = 128;

/**
 * (mean over directions of W2^2 of the projections)^(1/2) for points [count, 2]; the counts may differ. Throws
 * SHAPE_MISMATCH for empty sets or incomplete points.
 */
export function slicedWasserstein(a: Float32Array, b: Float32Array): number {
  for (const set of [a, b]) {
    if (set.length === 0 || set.length % 2 !== 0) {
      throw new FlowstepError('SHAPE_MISMATCH', `${set.length} values are not points of 2`);
    }
  }
  let sum = 0;
  for (let i = 0; i < DIRECTIONS; i++) {
    const angle = (Math.PI * i) / DIRECTIONS;
    sum += squaredWasserstein(project(a, angle), project(b, angle));
  }
  return Math.sqrt(sum / DIRECTIONS);
}

/** Positions along a direction, in rising order. */
function project(points: Float32Array, angle: number): Float64Array {
  const cosine = Math.cos(angle);
  const sine = Math.sin(angle);
  return Float64Array.from(
    { length: points.length / 2 },
    (_, i) => cosine * points[2 * i]! + sine * points[2 * i + 1]!,
  ).sort();
}

/** W2^2 on the line: the integral over u of the squared gap between the u-quantiles, which are steps. */
function squaredWasserstein(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  let i = 0;
  let j = 0;
  // Whole numbers: u in units of 1 / (a.length b.length).
  let at = 0;
  while (i < a.length && j < b.length) {
    const aEnd = (i + 1) * b.length;
    const bEnd = (j + 1) * a.length;
    const end = Math.min(aEnd, bEnd);
    sum += (end - at) * (a[i]! - b[j]!) ** 2;
    at = end;
    if (aEnd === end) i++;
    if (bEnd === end) j++;
  }
  return sum / (a.length * b.length);
}
