/** @file The order in which ONNX Runtime runs the operators of a graph, which decides how much memory they need. */
import type { Graph, Node, OperatorNode } from './graph.ts';
import { neededNodes } from './onnx-encode.ts';

/**
 * The operators that outputs depend on, as ONNX Runtime orders them (GraphViewer's default order): depth first from the
 * results back, where of several nodes the last of the file comes first. For a graph of kept order the file is reversed.
 */
export function executionOrder(graph: Graph): OperatorNode[] {
  const needed = neededNodes(graph);
  const nodes = graph.nodes.filter(
    (node): node is OperatorNode => node.kind === 'operator' && needed.has(node),
  );
  const sign = graph.order === 'kept' ? -1 : 1;
  const places = new Map<Node, number>(nodes.map((node, i) => [node, sign * i]));
  const lastOnTop = (a: OperatorNode, b: OperatorNode) => places.get(a)! - places.get(b)!;

  const read = new Set<Node>(nodes.flatMap(({ inputs }) => inputs.map((v) => v.node)));
  const results = nodes.filter((node) => !read.has(node)).sort(lastOnTop);
  const open = results.map((node) => ({ node, isReady: false }));
  const seen = new Set<OperatorNode>();
  const order: OperatorNode[] = [];
  for (let next = open.pop(); next; next = open.pop()) {
    const { node, isReady } = next;
    if (isReady) {
      order.push(node);
    } else if (!seen.has(node)) {
      seen.add(node);
      open.push({ node, isReady: true });
      const before = new Set(node.inputs.flatMap((v) => (isOperator(v.node) ? [v.node] : [])));
      for (const node of [...before].sort(lastOnTop)) open.push({ node, isReady: false });
    }
  }
  return order;
}

const isOperator = (node: Node): node is OperatorNode => node.kind === 'operator';
