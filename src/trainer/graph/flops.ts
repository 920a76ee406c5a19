/** @file Counts the floating-point operations of a graph from its shapes alone. */
import { sizeOf } from '../tensor.ts';
import type { Graph, Node, OperatorNode, Value } from './graph.ts';

/**
 * Floating-point operations of what `outputs` depend on (the graph's own unless others are given): two for each
 * multiplication with addition of matrix products and convolutions, nothing for all else, as PyTorch's counter has it.
 */
export function flopsOf(graph: Graph, outputs: Iterable<Value> = graph.outputs.values()): number {
  const needed = new Set<Node>([...outputs].map(({ node }) => node));
  let flops = 0;
  for (const node of graph.nodes.toReversed()) {
    if (!needed.has(node)) continue;
    for (const { node: before } of node.inputs) needed.add(before);
    if (node.kind === 'operator') flops += flopsOfNode(node);
  }
  return flops;
}

/** Floating-point operations of one node, counted as by `flopsOf`. */
export function flopsOfNode(node: OperatorNode): number {
  const [a, b] = node.inputs as [Value, Value];
  const result = sizeOf(node.outputs[0]!.shape);
  switch (node.operator) {
    case 'MatMul':
      return 2 * result * a.shape.at(-1)!;
    case 'Gemm':
    case 'FusedMatMul': {
      const { transA } = (node as OperatorNode<'Gemm' | 'FusedMatMul'>).attributes;
      return 2 * result * a.shape.at(transA ? -2 : -1)!;
    }
    // Two products over the width, whatever the number of heads.
    case 'Attention':
      return 4 * sizeOf(a.shape) * b.shape[1]!;
    // Each element of the result meets the kernel once in each channel of its group.
    case 'Conv':
      return 2 * result * sizeOf(b.shape.slice(1));
    // Here it is each element of the input.
    case 'ConvTranspose':
      return 2 * sizeOf(a.shape) * sizeOf(b.shape.slice(1));
    default:
      return 0;
  }
}
