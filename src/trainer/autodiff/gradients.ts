/** @file Reverse-mode differentiation of a graph into the same graph. */
import { bug } from '../../errors.ts';
import type { OperatorNode, Value } from '../graph/graph.ts';
import type { OperatorName } from '../graph/operators.ts';
import { add, expand } from '../graph/ops.ts';
import { type Gradient, RULES, type VjpRule } from './rules.ts';

/**
 * Gradients of a scalar `loss` with respect to `wrt`, in that order, each of its value's shape.
 * A value that the loss does not depend on gets zeros. Only nodes on a path from `wrt` to the loss
 * are differentiated, so frozen networks cost no parameter gradients. Values in `held` count as
 * constants: nothing flows back through them (a stop-gradient), and their own gradients are zeros.
 */
export function gradients(
  loss: Value,
  wrt: readonly Value[],
  held: readonly Value[] = [],
): Value[] {
  if (loss.shape.length !== 0) throw bug('the loss must be a scalar');
  const { graph } = loss;
  const isHeld = new Set(held.map((v) => v.id));
  const leadsToWrt = new Set<number>(wrt.map((v) => v.id).filter((id) => !isHeld.has(id)));
  for (const node of graph.nodes) {
    if (node.inputs.some((v) => leadsToWrt.has(v.id))) {
      for (const v of node.outputs) if (!isHeld.has(v.id)) leadsToWrt.add(v.id);
    }
  }

  const gradientOf = new Map<number, Value>([[loss.id, graph.scalar(1, loss.dtype)]]);
  const targets = new Set(wrt.map((v) => v.id));
  // The list grows while rules emit nodes; only those that were there before are walked.
  for (const node of graph.nodes.slice().reverse()) {
    if (node.kind !== 'operator') continue;
    const wanted = node.inputs.map((v) => leadsToWrt.has(v.id));
    const outputGradients = node.outputs.map((v) => gradientOf.get(v.id));
    if (!wanted.includes(true) || outputGradients.every((g) => g === undefined)) continue;
    const inputGradients = vjp(node, outputGradients, wanted);
    for (const [i, input] of node.inputs.entries()) {
      const gradient = inputGradients[i];
      if (!gradient || !wanted[i]) continue;
      const sum = gradientOf.get(input.id);
      gradientOf.set(input.id, sum ? add(sum, gradient) : gradient);
    }
    // Gradients of inner values are dead from here on; those asked for are kept.
    for (const v of node.outputs) if (!targets.has(v.id)) gradientOf.delete(v.id);
  }
  return wrt.map((v) => gradientOf.get(v.id) ?? expand(graph.scalar(0, v.dtype), v.shape));
}

function vjp<K extends OperatorName>(
  node: OperatorNode<K>,
  outputGradients: readonly Gradient[],
  wanted: readonly boolean[],
): readonly Gradient[] {
  const rule = RULES[node.operator] as VjpRule<K>;
  return rule(node, outputGradients, wanted);
}
