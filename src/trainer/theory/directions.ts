/** @file Directions in the space of the student's parameters along which two gradients are compared. */
import { fillNormal } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';

/**
 * Least cosine between a direction and the gradient: in thousands of dimensions a random direction is all but orthogonal
 * to the gradient, and a relative gap would be one of two numbers near 0.
 */
const LEAST_COSINE = 0.3;

/** Steps of the stream of random numbers, above those of replicates. */
const FIRST_STEP = 2 ** 33;

/**
 * `count` random directions of length 1. Each has a fixed cosine with the gradient (an estimate will do): that of a random
 * direction, 1 / sqrt(dimensions), or the least one; apart from that it is random.
 */
export function directionsAbout(
  gradient: Float64Array,
  count: number,
  seed: number,
): Float64Array[] {
  const size = gradient.length;
  const cosine = Math.max(LEAST_COSINE, 1 / Math.sqrt(size));
  const along = scaled(gradient, 1 / norm(gradient));
  return Array.from({ length: count }, (_, k) => {
    const noise = new Float32Array(size);
    fillNormal(noise, seed, STREAMS.theory, FIRST_STEP + k);
    const random = Float64Array.from(noise);
    const share = dot(random, along);
    const across = random.map((x, i) => x - share * along[i]!);
    const width = Math.sqrt(1 - cosine ** 2) / norm(across);
    return across.map((x, i) => cosine * along[i]! + width * x);
  });
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}

/** a + step b. */
export function moved(a: Float64Array, b: Float64Array, step: number): Float64Array {
  return a.map((x, i) => x + step * b[i]!);
}

function scaled(a: Float64Array, factor: number): Float64Array {
  return a.map((x) => factor * x);
}
