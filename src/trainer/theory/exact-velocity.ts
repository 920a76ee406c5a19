/**
 * @file Velocities of the linear path that are known exactly: E[c | xt = x] where the data are a mixture of normal
 * distributions or a set of points (FGM, A1.2).
 */
import type { Value } from '../graph/graph.ts';
import {
  add,
  concat,
  div,
  exp,
  expand,
  log,
  matMul,
  mul,
  reduceSum,
  reshape,
  softmax,
  split,
  square,
  sub,
  transpose,
} from '../graph/ops.ts';

/**
 * The velocity at x [B, D], t [B] for data of K equally likely normal distributions with means and deviations [K, D]:
 * in each, c and xt are jointly normal, so that E[c | x] is affine in x; what weighs them is how likely x is in each.
 */
export function velocityOfNormals(x: Value, t: Value, means: Value, deviations: Value): Value {
  const [count, dim] = means.shape as [number, number];
  const batch = x.shape[0]!;
  const time = reshape(t, [batch, 1, 1]);
  const left = sub(1, time);
  const variances = square(deviations);
  const spread = add(mul(square(left), variances), square(time)); // [B, K, D]
  const away = sub(reshape(x, [batch, 1, dim]), mul(left, means));
  const exponents = reduceSum(add(div(square(away), spread), log(spread)), [2]);
  const shares = reshape(softmax(mul(exponents, -0.5)), [batch, count, 1]);
  const slopes = div(sub(time, mul(left, variances)), spread);
  const each = sub(mul(slopes, away), means);
  return reduceSum(mul(shares, each), [1]);
}

/**
 * The velocity at x [B, ...sample], t [B] for data that are `points` [N, D], all equally likely:
 * v = sum_i softmax_i(-|x - (1 - t) x_i|^2 / (2 t^2)) (x - x_i) / t.
 */
export function velocityOfPoints(x: Value, t: Value, points: Value): Value {
  const [count, dim] = points.shape as [number, number];
  const batch = x.shape[0]!;
  const rows = reshape(x, [batch, dim]);
  const time = reshape(t, [batch, 1]);
  const left = sub(1, time);
  // The exponent -(|x|^2 - 2 (1 - t) x.x_i + (1 - t)^2 |x_i|^2) / (2 t^2) is one product of a row and a column.
  const perSpread = div(1, square(time));
  const norms = (v: Value) => mul(reduceSum(square(v), [1], true), -0.5);
  const factors = [mul(rows, mul(left, perSpread)), mul(square(left), perSpread)];
  const row = concat([...factors, mul(norms(rows), perSpread)], 1);
  const ones = expand(x.graph.scalar(1, x.dtype), [count, 1]);
  const column = transpose(concat([points, norms(points), ones], 1), [1, 0]); // [D + 2, N]
  // A softmax would subtract the greatest exponent first, at twice the time. Exponents are below 0, and where x lies on a
  // path from one of the points, that point's is -|x1|^2 / 2: the sum is far from 0.
  const sums = matMul(exp(matMul(row, column)), concat([points, ones], 1));
  const [weighted, total] = split(sums, 1, [dim, 1]) as [Value, Value];
  const nearest = div(weighted, total); // E[x0 | x]
  return reshape(div(sub(rows, nearest), time), x.shape);
}
