/**
 * @file Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): what lies between
 * the borders of a network's blocks is forgotten after the forward pass and computed again when the backward pass comes to it.
 */
import { bug } from '../../errors.ts';
import { Graph, type Node, type OperatorNode, type Value } from '../graph/graph.ts';

/**
 * The same graph with copies of the blocks' operators for the nodes from number `backward` on, which are the backward
 * pass. Values that other blocks read are kept, as is the last block: its backward pass comes first. Every copy stands
 * just before its first use, and every output as early as it can, so the order of the nodes is the one that needs the
 * least memory. Computes the same numbers; with convolutions up to rounding, as the library fuses other pairs of them.
 */
export function withRecompute(graph: Graph, backward: number): Graph {
  return new Rewriter(graph, backward).run();
}

class Rewriter {
  readonly #from: Graph;
  readonly #backward: number;
  readonly #to = new Graph('kept');
  /** Values of the new graph by the old ones' ids, and those that are computed again. */
  readonly #placed = new Map<number, Value>();
  readonly #copies = new Map<number, Value>();
  /** Forward values that the backward pass computes again. */
  readonly #forgotten: ReadonlyMap<Value, OperatorNode>;

  constructor(graph: Graph, backward: number) {
    this.#from = graph;
    this.#backward = backward;
    this.#forgotten = forgottenValues(graph, backward);
  }

  run(): Graph {
    const { nodes, outputs } = this.#from;
    const late = this.#lastNodes();
    const isLate = new Set<Node>([...late.values()].flat());
    for (const node of nodes) this.#declare(node);
    for (const [number, node] of nodes.entries()) {
      if (node.kind !== 'operator' || isLate.has(node)) continue;
      this.#place(node, number >= this.#backward);
      for (const v of node.outputs) for (const after of late.get(v) ?? []) this.#place(after, true);
    }
    for (const [name, value] of outputs) this.#to.output(name, this.#placed.get(value.id)!);
    return this.#to;
  }

  /** Nodes of the backward pass that give outputs and nothing else, by the last value that they wait for. */
  #lastNodes(): Map<Value, OperatorNode[]> {
    const { nodes, outputs } = this.#from;
    const read = new Set(nodes.flatMap((node) => node.inputs));
    const backward = new Set(nodes.slice(this.#backward));
    const after = new Map<Value, OperatorNode[]>();
    for (const { node } of outputs.values()) {
      if (node.kind !== 'operator' || !backward.has(node)) continue;
      if (node.outputs.some((v) => read.has(v))) continue;
      const computed = node.inputs.filter((v) => v.node.kind === 'operator');
      const last = computed.sort((a, b) => a.id - b.id).at(-1);
      if (last) after.set(last, [...(after.get(last) ?? []), node]);
    }
    return after;
  }

  /** Inputs and constants come first: they are there before anything runs. */
  #declare(node: Node): void {
    if (node.kind === 'operator') return;
    const value = node.outputs[0]!;
    const declared =
      node.kind === 'constant'
        ? this.#to.constant(node.tensor)
        : this.#to.input(node.name, value.shape, value.dtype);
    this.#placed.set(value.id, declared);
  }

  #place(node: OperatorNode, isBackward: boolean): void {
    const inputs = node.inputs.map((v) => (isBackward ? this.#again(v) : this.#placed.get(v.id)!));
    const values = this.#to.repeat(node, inputs);
    for (const [i, v] of node.outputs.entries()) this.#placed.set(v.id, values[i]!);
  }

  /** The value for a reader in the backward pass. */
  #again(value: Value): Value {
    const node = this.#forgotten.get(value);
    if (!node) return this.#placed.get(value.id)!;
    const known = this.#copies.get(value.id);
    if (known) return known;
    const inputs = node.inputs.map((v) => this.#again(v));
    const values = this.#to.repeat(node, inputs);
    for (const [i, v] of node.outputs.entries()) this.#copies.set(v.id, values[i]!);
    return this.#copies.get(value.id)!;
  }
}

/** What the blocks but the last compute for themselves alone. */
function forgottenValues(graph: Graph, backward: number): Map<Value, OperatorNode> {
  const blocks = graph.blocks.slice(0, -1);
  if (blocks.some(({ end }) => end > backward)) throw bug('a block is in the backward pass');
  const forgotten = new Map<Value, OperatorNode>();
  const blockOf = new Map<Node, number>();
  for (const [i, { start, end }] of blocks.entries()) {
    for (const node of graph.nodes.slice(start, end)) {
      if (node.kind !== 'operator') continue;
      blockOf.set(node, i);
      for (const v of node.outputs) forgotten.set(v, node);
    }
  }
  for (const node of graph.nodes.slice(0, backward)) {
    for (const v of node.inputs) if (blockOf.get(v.node) !== blockOf.get(node)) forgotten.delete(v);
  }
  for (const v of graph.outputs.values()) forgotten.delete(v);
  return forgotten;
}
