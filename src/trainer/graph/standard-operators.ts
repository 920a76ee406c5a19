/** @file A graph with ONNX's own operators alone, for programs that have not those of ONNX Runtime. */
import { Graph, type OperatorNode, type Value } from './graph.ts';
import { matMul, mul, sigmoid, transpose } from './ops.ts';

/** The same inputs and outputs; nodes in the same order. */
export function standardGraph(graph: Graph): Graph {
  const result = new Graph();
  const values = new Map<number, Value>();
  for (const node of graph.nodes) {
    const made = (() => {
      switch (node.kind) {
        case 'input': {
          const { shape, dtype } = node.outputs[0]!;
          return [result.input(node.name, shape, dtype)];
        }
        case 'constant':
          return [result.constant(node.tensor)];
        case 'operator':
          return applied(
            result,
            node,
            node.inputs.map((v) => values.get(v.id)!),
          );
      }
    })();
    for (const [i, { id }] of node.outputs.entries()) values.set(id, made[i]!);
  }
  for (const [name, { id }] of graph.outputs) result.output(name, values.get(id)!);
  return result;
}

function applied(graph: Graph, node: OperatorNode, inputs: readonly Value[]): readonly Value[] {
  if (isKind(node, 'FusedMatMul')) {
    const { transA, transB, alpha } = node.attributes;
    const [a, b] = inputs as [Value, Value];
    const product = matMul(transA ? swapped(a) : a, transB ? swapped(b) : b);
    return [alpha === 1 ? product : mul(product, alpha)];
  }
  if (isKind(node, 'QuickGelu')) {
    const { alpha } = node.attributes;
    const x = inputs[0]!;
    return [mul(x, sigmoid(alpha === 1 ? x : mul(x, alpha)))];
  }
  return graph.apply(node.operator, inputs, node.attributes);
}

function isKind<K extends OperatorNode['operator']>(
  node: OperatorNode,
  operator: K,
): node is OperatorNode<K> & OperatorNode {
  return node.operator === operator;
}

function swapped(x: Value): Value {
  const rank = x.shape.length;
  return transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}
