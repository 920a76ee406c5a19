/**
 * @file A graph whose kernels on CUDA need nothing of the host while they run. For some ONNX Runtime copies lists up in each
 * run - where the parts of a concatenation lie, and how large they are, say. That takes longer than the kernel, and cannot be
 * recorded: a replay would read the host's memory where the lists have been. Attention is one kernel.
 */
import { type Shape, sizeOf } from '../tensor.ts';
import {
  type FoundAttention,
  type FoundGradient,
  foundAttention,
  foundGradient,
  joinHeads,
} from './attention.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import { isLow } from './low-precision.ts';
import {
  cast,
  concat,
  expand,
  fusedAttention,
  matMul,
  mul,
  reduceSum,
  reshape,
  slice,
  sub,
} from './ops.ts';
import { isKind, rewritten } from './rewrite.ts';
import { normalAxis } from './shapes.ts';

/** The same inputs and outputs. */
export function cudaGraph(graph: Graph): Graph {
  /** What attention gives, [B, N, H, D], by its weights. */
  const attended = new Map<Value, Value>();
  return rewritten(graph, {
    replace: (node, inputs) => withAttention(node, inputs, attended) ?? withoutHost(node, inputs),
  });
}

/** Whether no kernel of such a graph needs something of the host. */
export function isFreeOfHost(graph: Graph): boolean {
  return graph.nodes.every(
    (node) => node.kind !== 'operator' || (!hasUnequalParts(node) && !isOneForMany(node)),
  );
}

/**
 * Attention in 16 bits as one operator, whose kernel does not write the weights: they are computed again in the backward pass.
 * In float32 the kernel may compute with fewer bits than products do.
 */
function withAttention(
  node: OperatorNode,
  inputs: readonly Value[],
  attended: Map<Value, Value>,
): readonly Value[] | undefined {
  const attention = inputs[0]!.dtype === 'float32' ? undefined : foundAttention(node, inputs[0]!);
  if (attention) {
    const mixed = fused(attention, node.outputs[0]!.shape);
    attended.set(attention.weights, mixed);
    return [mixed];
  }
  const found = foundGradient(node, inputs);
  const mixed = found && attended.get(found.weights);
  if (mixed) return [cast(scoreGradient(found, mixed), inputs[0]!.dtype)];
  // What was cast to float32 for the sake of a sum that is not there any more, and is cast back.
  const { node: before, dtype } = inputs[0]!;
  if (!isKind(node, 'Cast') || dtype !== 'float32' || !isLow(node.attributes.to)) return undefined;
  const isBack = before.kind === 'operator' && isKind(before, 'Cast');
  return isBack && before.inputs[0]!.dtype === node.attributes.to ? before.inputs : undefined;
}

/**
 * The gradient P (dP - D) of the scores, where D is the sum of dP P over a row: that of dO O over a head, with O = P v, as
 * dP = dO v^T (Dao et al. 2022, "FlashAttention", B.2).
 */
function scoreGradient({ weights, dWeights, dMixed }: FoundGradient, mixed: Value): Value {
  const products = mul(cast(dMixed, 'float32'), cast(mixed, 'float32'));
  const total = joinHeads(reduceSum(products, [-1], true)); // [B, H, N, 1]
  return mul(weights, sub(dWeights, cast(total, weights.dtype)));
}

function withoutHost(node: OperatorNode, inputs: readonly Value[]): readonly Value[] | undefined {
  if (isOneForMany(node)) {
    const [a, b] = inputs as [Value, Value];
    return [matMul(expand(a, [...b.shape.slice(0, -2), ...a.shape]), b)];
  }
  if (!hasUnequalParts(node)) return undefined;
  const axis = axisOf(node);
  if (isKind(node, 'Split')) {
    const sizes = node.outputs.map(({ shape }) => shape[axis]!);
    return sizes.map((size, i) => {
      const start = sizes.slice(0, i).reduce((a, b) => a + b, 0);
      return slice(inputs[0]!, axis, start, start + size);
    });
  }
  const equal = equalParts(inputs, axis);
  return equal.length > MOST_PARTS ? undefined : [concat(equal, axis)];
}

function fused({ q, k, v, batch, heads }: FoundAttention, shape: Shape): Value {
  const bySample = (x: Value) => {
    const width = x.shape.at(-1)!;
    return reshape(x, [batch, sizeOf(x.shape) / (batch * width), width]);
  };
  return reshape(fusedAttention(bySample(q), bySample(k), bySample(v), heads), shape);
}

/** Parts that a kernel takes without a list in the card's memory. */
const MOST_PARTS = 32;

/** A matrix that each of many is multiplied with: batches need steps of one size on both sides, and 0 is none on the left. */
function isOneForMany(node: OperatorNode): boolean {
  return (
    isKind(node, 'MatMul') && node.inputs[0]!.shape.length === 2 && node.inputs[1]!.shape.length > 2
  );
}

type Parted = OperatorNode<'Concat' | 'Split'>;

function hasUnequalParts(node: OperatorNode): node is Parted & OperatorNode {
  if (!isKind(node, 'Concat') && !isKind(node, 'Split')) return false;
  const parts = isKind(node, 'Concat') ? node.inputs : node.outputs;
  const axis = axisOf(node);
  const [first] = parts;
  return parts.length > MOST_PARTS || parts.some((v) => v.shape[axis] !== first!.shape[axis]);
}

function axisOf({ operator, attributes, inputs }: Parted): number {
  return normalAxis(operator, attributes.axis, inputs[0]!.shape.length);
}

/** The same along the axis, in parts of one size. */
function equalParts(parts: readonly Value[], axis: number): Value[] {
  const size = parts.map(({ shape }) => shape[axis]!).reduce(commonDivisor);
  return parts.flatMap((part) => {
    const count = part.shape[axis]! / size;
    if (count === 1) return [part];
    return Array.from({ length: count }, (_, i) => slice(part, axis, i * size, (i + 1) * size));
  });
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
