/** @file Energy distance between two sets of points (Szekely and Rizzo 2013), V-statistic. */
import { FlowstepError } from '../../errors.ts';

/**
 * 2 E|a - b| - E|a - a'| - E|b - b'| of samples [count, dim], with Euclidean distances and the zero distances of points
 * to themselves counted; 0 when the sets are equal. `withinB` is `meanDistanceWithin` of b, for those that have it.
 * Throws SHAPE_MISMATCH for empty sets or incomplete points.
 */
export function energyDistance(
  a: Float32Array,
  b: Float32Array,
  dim: number,
  withinB?: number,
): number {
  for (const set of [a, b]) {
    if (set.length === 0 || set.length % dim !== 0) {
      throw new FlowstepError('SHAPE_MISMATCH', `${set.length} values are not points of ${dim}`);
    }
  }
  const within = withinB ?? meanDistanceWithin(b, dim);
  return 2 * meanBetween(a, b, dim) - meanDistanceWithin(a, dim) - within;
}

function meanBetween(a: Float32Array, b: Float32Array, dim: number): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += dim) sum += distanceSum(a, i, b, 0, dim);
  return sum / ((a.length / dim) * (b.length / dim));
}

/** E|a - a'| of samples [count, dim], a quarter of the work of their energy distance from others. */
export function meanDistanceWithin(a: Float32Array, dim: number): number {
  let sum = 0;
  // Each pair once, counted twice.
  for (let i = 0; i < a.length; i += dim) sum += 2 * distanceSum(a, i, a, i + dim, dim);
  return sum / (a.length / dim) ** 2;
}

/** Sum of the distances from the point at a[i] to the points of b from b[start] on. */
function distanceSum(
  a: Float32Array,
  i: number,
  b: Float32Array,
  start: number,
  dim: number,
): number {
  let sum = 0;
  if (dim === 2) {
    // Points in the plane are the common case, and about three times as fast without the inner loop.
    const x = a[i]!;
    const y = a[i + 1]!;
    for (let j = start; j < b.length; j += 2) {
      const dx = x - b[j]!;
      const dy = y - b[j + 1]!;
      sum += Math.sqrt(dx * dx + dy * dy);
    }
    return sum;
  }
  for (let j = start; j < b.length; j += dim) {
    let square = 0;
    for (let k = 0; k < dim; k++) square += (a[i + k]! - b[j + k]!) ** 2;
    sum += Math.sqrt(square);
  }
  return sum;
}
