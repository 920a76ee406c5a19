/** @file A graph with ONNX's own operators alone, for programs and devices that have not those of ONNX Runtime. */
import { attentionScale, joinHeads, splitHeads } from './attention.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import { matMul, mul, reshape, sigmoid, softmax, transpose } from './ops.ts';
import { isKind, rewritten } from './rewrite.ts';

/** The same inputs and outputs; nodes in the same order. */
export function standardGraph(graph: Graph): Graph {
  return rewritten(graph, { replace: standardForm });
}

/** What an operator of ONNX Runtime is made of; undefined for others. */
export function standardForm(
  node: OperatorNode,
  inputs: readonly Value[],
): readonly Value[] | undefined {
  if (isKind(node, 'FusedMatMul')) {
    const { transA, transB, alpha } = node.attributes;
    const [a, b] = inputs as [Value, Value];
    const product = matMul(transA ? swapped(a) : a, transB ? swapped(b) : b);
    return [alpha === 1 ? product : mul(product, alpha)];
  }
  if (isKind(node, 'Attention')) {
    const batch = inputs[0]!.shape[0]!;
    const split = (x: Value) => splitHeads(x, batch, node.attributes.q_num_heads);
    const [q, k, v] = inputs.map(split) as [Value, Value, Value];
    const weights = softmax(mul(matMul(q, swapped(k)), attentionScale(q)));
    return [reshape(joinHeads(matMul(weights, v)), node.outputs[0]!.shape)];
  }
  if (isKind(node, 'QuickGelu')) {
    const { alpha } = node.attributes;
    const x = inputs[0]!;
    return [mul(x, sigmoid(alpha === 1 ? x : mul(x, alpha)))];
  }
  return undefined;
}

function swapped(x: Value): Value {
  const rank = x.shape.length;
  return transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}
