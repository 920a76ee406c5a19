/** @file Classifier-free guidance (Ho & Salimans 2022) of a velocity. */
import type { Value } from '../graph/graph.ts';
import { add, mul, sub } from '../graph/ops.ts';

/** base + scale (v - base): scale 1 is v itself, larger ones go further from `base`, the velocity without the condition. */
export function guidedVelocity(v: Value, base: Value, scale: number): Value {
  return scale === 1 ? v : add(base, mul(sub(v, base), scale));
}
