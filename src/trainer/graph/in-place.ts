/** @file Proof that outputs may be written over the memory of inputs while the graph runs. */
import { bug } from '../../errors.ts';
import type { Graph, Node, Value } from './graph.ts';

/** Output `output` shares memory with the inputs `inputs`. */
export interface Overlap {
  readonly output: string;
  readonly inputs: readonly string[];
}

/**
 * Throws unless every node that reads an overlapped input is an ancestor of the node that writes
 * the output, or is that node: then the data flow alone puts all reads before the write.
 */
export function assertInPlaceSafe(graph: Graph, overlaps: readonly Overlap[]): void {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of node.inputs) readers.set(v, [...(readers.get(v) ?? []), node]);
  }
  const ancestorsOf = new Map<Node, Set<Node>>();
  for (const { output, inputs } of overlaps) {
    const value = graph.outputs.get(output);
    if (!value) throw bug(`no output ${output}`);
    const before = ancestorsOf.get(value.node) ?? ancestors(value.node);
    ancestorsOf.set(value.node, before);
    for (const name of inputs) {
      const input = graph.inputs.get(name);
      if (!input) continue;
      const late = (readers.get(input) ?? []).find((n) => !before.has(n));
      if (late) throw bug(`output ${output} may be written before ${name} is read`);
    }
  }
}

function ancestors(node: Node): Set<Node> {
  const seen = new Set<Node>([node]);
  const open: Node[] = [node];
  for (let next = open.pop(); next; next = open.pop()) {
    for (const { node: before } of next.inputs) {
      if (!seen.has(before)) {
        seen.add(before);
        open.push(before);
      }
    }
  }
  return seen;
}
