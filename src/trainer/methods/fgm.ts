/**
 * @file Flow Generator Matching (arXiv 2410.19310): the student and its two tractable losses.
 *
 * u is the teacher, v the online flow, both functions of xt with their parameters held fixed;
 * gradients flow into the student through xt, through x0 and through c = x1 - x0.
 */
import { perSample } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import {
  abs,
  add,
  div,
  mul,
  reduceSum,
  reduceSumSquare,
  reshape,
  square,
  sub,
} from '../graph/ops.ts';
import { sizeOf } from '../tensor.ts';

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

/** What a student of several steps makes of x at time t [B]: x0 = x - t v(x, t). */
export function predictedData(x: Value, t: Value, v: Value): Value {
  return sub(x, mul(v, perSample(t, x)));
}

export const VELOCITY_WEIGHTS = ['velocity', 'x0', 'sid', 'sid-dit'] as const;

/**
 * Weight w(t) of the velocity loss: `velocity` 1 (FGM); `x0` t^2, the loss of D = xt - t v;
 * `sid` t^2 / mean |x0 - D_u|, held fixed (SiD, Zhou et al. 2024); `sid-dit` t^2 (1 - t) (SiD-DiT).
 */
export type VelocityWeight = (typeof VELOCITY_WEIGHTS)[number];

export interface Weighted {
  /** [B]; undefined = 1 everywhere. */
  readonly weight: Value | undefined;
  /** Values that the gradient takes as constants. */
  readonly held: readonly Value[];
}

/** Keeps `sid` finite where the teacher's prediction meets the student's sample. */
const LEAST_DISTANCE = 1e-6;

/** The weights of a batch: times t [B], the student's samples x0, points xt and the teacher's velocity u there. */
export function velocityWeight(
  kind: VelocityWeight,
  t: Value,
  { x0, xt, u }: { readonly x0: Value; readonly xt: Value; readonly u: Value },
): Weighted {
  switch (kind) {
    case 'velocity':
      return { weight: undefined, held: [] };
    case 'x0':
      return { weight: square(t), held: [] };
    case 'sid-dit':
      return { weight: mul(square(t), sub(1, t)), held: [] };
    case 'sid': {
      const distance = abs(sub(x0, predictedData(xt, t, u)));
      const mean = mul(overSample(distance), 1 / sizeOf(x0.shape.slice(1)));
      const weight = div(square(t), add(mean, LEAST_DISTANCE));
      return { weight, held: [weight] };
    }
  }
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
export function fgmLoss(u: Value, v: Value, c: Value, lambda1: number, weight?: Value): FgmTerms {
  const perBatch = 1 / u.shape[0]!;
  const d = sub(u, v);
  const distance = mul(reduceSumSquare(d), perBatch);
  const cross = mul(d, sub(v, c));
  if (weight) {
    const sample = mul(overSample(cross), 2);
    const both = lambda1 === 0 ? sample : add(mul(overSample(square(d)), lambda1), sample);
    return { loss: mul(reduceSum(mul(both, weight)), perBatch), distance };
  }
  const product = mul(reduceSum(cross), 2 * perBatch);
  const loss =
    lambda1 === 0 ? product : add(lambda1 === 1 ? distance : mul(distance, lambda1), product);
  return { loss, distance };
}

/** Sums of x [B, ...sample] over each sample: [B]. */
function overSample(x: Value): Value {
  const axes = x.shape.slice(1).map((_, i) => i + 1);
  return reshape(reduceSum(x, axes, false), [x.shape[0]!]);
}

/** lambda1 for SiD's alpha (Zhou et al. 2024): alpha 0.5 is the full loss, 1 is L2 alone. */
export function lambdaOfSidAlpha(alpha: number): number {
  return 2 * (1 - alpha);
}
