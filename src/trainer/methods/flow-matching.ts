/** @file Conditional flow matching (Lipman et al. 2022): what trains a teacher, and the online flow of FGM. */
import type { Value } from '../graph/graph.ts';
import { add, mul, reduceSum, reduceSumSquare, reshape, square, sub } from '../graph/ops.ts';

export const FLOW_WEIGHTS = ['velocity', 'edm'] as const;

/** Weight of the loss over time: `velocity` 1; `edm` as EDM weighs the loss of its denoiser (Karras et al. 2022, table 1). */
export type FlowWeight = (typeof FLOW_WEIGHTS)[number];

/**
 * The weight at times t [B], undefined = 1. EDM's (sigma^2 + s^2) / (sigma s)^2 is of |D - x0|^2, which is t^2 |v - c|^2:
 * of |v - c|^2 it is t^2 / s^2 + (1 - t)^2, with sigma = t / (1 - t) and s the standard deviation of the data.
 */
export function flowWeight(kind: FlowWeight, t: Value, sigmaData: number): Value | undefined {
  if (kind === 'velocity') return undefined;
  return add(mul(square(t), 1 / sigmaData ** 2), square(sub(1, t)));
}

/** Mean over the batch of w |v - c|^2 summed over a sample; c = x1 - x0 (FGM eq. 4.4 when x0 = g(z) is held fixed). */
export function flowMatchingLoss(v: Value, c: Value, weight?: Value): Value {
  const batch = v.shape[0]!;
  const difference = sub(v, c);
  if (!weight) return mul(reduceSumSquare(difference), 1 / batch);
  const axes = v.shape.slice(1).map((_, i) => i + 1);
  const perSample = reshape(reduceSumSquare(difference, axes, false), [batch]);
  return mul(reduceSum(mul(perSample, weight)), 1 / batch);
}
