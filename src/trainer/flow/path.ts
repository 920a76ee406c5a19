/** @file The linear path between data and noise (Liu et al. 2022; FGM eq. 3.5). */
import type { Value } from '../graph/graph.ts';
import { add, mul, reshape, sub } from '../graph/ops.ts';

/** t [B] with a 1 for every axis of a sample, so that it multiplies x [B, ...sample]. */
export function perSample(t: Value, like: Value): Value {
  return reshape(t, [t.shape[0]!, ...like.shape.slice(1).map(() => 1)]);
}

/** xt = (1 - t) x0 + t x1 and its velocity c = x1 - x0; xt is formed as x0 + t c, one product less. */
export function linearPath(x0: Value, x1: Value, t: Value): { xt: Value; c: Value } {
  const c = sub(x1, x0);
  return { xt: add(x0, mul(perSample(t, x0), c)), c };
}
