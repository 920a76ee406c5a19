/** @file Classifier-free guidance (Ho & Salimans 2022) of a velocity. */
import type { Value } from '../graph/graph.ts';
import { add, lessOrEqual, mul, reshape, sub, where } from '../graph/ops.ts';

export interface Guidance {
  /** 1 = none. */
  readonly scale: number;
  /**
   * Latest time with guidance; left out = all times. Near noise guidance costs variety and brings little (Kynkäänniemi et al.
   * 2024, arXiv 2404.07724).
   */
  readonly latest?: number | undefined;
}

/** base + s (v - base) at time t [] or [B]: s is the scale, or 1 after the latest time; `base` is the velocity [B, ...] without the condition. */
export function guidedVelocity(
  v: Value,
  base: Value,
  t: Value,
  { scale, latest }: Guidance,
): Value {
  const away = sub(v, base);
  if (latest === undefined) return add(base, mul(away, scale));
  const at = where(
    lessOrEqual(t, latest),
    t.graph.scalar(scale, t.dtype),
    t.graph.scalar(1, t.dtype),
  );
  return add(base, mul(away, reshape(at, [...t.shape, ...v.shape.slice(1).map(() => 1)])));
}
