/**
 * @file Flow Generator Matching (arXiv 2410.19310): the student and its two tractable losses.
 *
 * u is the teacher, v the online flow, both functions of xt with their parameters held fixed;
 * gradients flow into the student through xt, through x0 and through c = x1 - x0.
 */
import type { Value } from '../graph/graph.ts';
import { add, mul, reduceSum, reduceSumSquare, sub } from '../graph/ops.ts';

/** The one-step student x0 = z' - t* v(z', t*) with z' = c_in z; `field` is the network at t*. */
export function oneStepStudent(
  z: Value,
  tStar: number,
  cIn: number,
  field: (x: Value) => Value,
): Value {
  const scaled = cIn === 1 ? z : mul(z, cIn);
  return sub(scaled, mul(field(scaled), tStar));
}

export interface FgmTerms {
  /** lambda1 L1 + L2, the mean over the batch. */
  readonly loss: Value;
  /** Mean |u - v|^2 (L1): the meter of convergence, since L2 is about 0 in expectation. */
  readonly distance: Value;
}

/**
 * L1 = |u - v|^2 (eq. 4.11) and L2 = 2 (u - v).(v - c) (eq. 4.12), summed over a sample.
 * lambda1 = 1 is the full loss, 0 is L2 alone, 2 (1 - alpha) is SiD's alpha.
 */
export function fgmLoss(u: Value, v: Value, c: Value, lambda1: number): FgmTerms {
  const perBatch = 1 / u.shape[0]!;
  const d = sub(u, v);
  const distance = mul(reduceSumSquare(d), perBatch);
  const product = mul(reduceSum(mul(d, sub(v, c))), 2 * perBatch);
  const loss =
    lambda1 === 0 ? product : add(lambda1 === 1 ? distance : mul(distance, lambda1), product);
  return { loss, distance };
}

/** lambda1 for SiD's alpha (Zhou et al. 2024): alpha 0.5 is the full loss, 1 is L2 alone. */
export function lambdaOfSidAlpha(alpha: number): number {
  return 2 * (1 - alpha);
}
