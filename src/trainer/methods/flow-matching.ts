/** @file Conditional flow matching (Lipman et al. 2022): what trains a teacher, and the online flow of FGM. */
import type { Value } from '../graph/graph.ts';
import { mul, reduceSumSquare, sub } from '../graph/ops.ts';

/** Mean over the batch of |v - c|^2 summed over a sample; c = x1 - x0 (FGM eq. 4.4 when x0 = g(z) is held fixed). */
export function flowMatchingLoss(v: Value, c: Value): Value {
  return mul(reduceSumSquare(sub(v, c)), 1 / v.shape[0]!);
}
