/** @file Scaled dot-product attention (Vaswani et al. 2017, eq. 1) by products, and where a graph has it. */
import { sizeOf } from '../tensor.ts';
import type { OperatorNode, Value } from './graph.ts';
import { batchedMatMul, reshape, softmax, transpose } from './ops.ts';
import { isKind } from './rewrite.ts';

/** The axes of heads and places changed: [B, N, H, D] and [B, H, N, D]. */
const SWAPPED = [0, 2, 1, 3] as const;

/** x of [B, N, H D], or the same in rows [B N, H D], as [B, H, N, D]. */
export function splitHeads(x: Value, batch: number, heads: number): Value {
  const width = x.shape.at(-1)!;
  const places = sizeOf(x.shape) / (batch * width);
  return transpose(reshape(x, [batch, places, heads, width / heads]), SWAPPED);
}

/** [B, H, N, D] as [B, N, H, D]. */
export const joinHeads = (x: Value): Value => transpose(x, SWAPPED);

/** 1 / sqrt(D) of [..., D]. */
export const attentionScale = (q: Value): number => 1 / Math.sqrt(q.shape.at(-1)!);

/** softmax(q k^T / sqrt(D)) [B, H, N, M] of q [B, H, N, D] and k [B, H, M, D]. */
export function attentionWeights(q: Value, k: Value): Value {
  return softmax(batchedMatMul(q, k, { transB: true, alpha: attentionScale(q) }));
}

/** q [B N, H D] on k, v [B M, H D], in rows or by sample; the result is [B, N, H, D]. */
export function attentionByProducts(
  [q, k, v]: readonly [Value, Value, Value],
  batch: number,
  heads: number,
): Value {
  const split = (x: Value) => splitHeads(x, batch, heads);
  return joinHeads(batchedMatMul(attentionWeights(split(q), split(k)), split(v)));
}

export interface FoundGradient {
  /** [B, H, N, M] */
  readonly weights: Value;
  readonly dWeights: Value;
  /** Gradient of the result, [B, N, H, D]. */
  readonly dMixed: Value;
}

/**
 * What the gradient of a softmax has to do with where `node`, given `inputs`, is its last operator and the softmax one of
 * attention's weights; undefined elsewhere.
 */
export function foundGradient(
  node: OperatorNode,
  inputs: readonly Value[],
): FoundGradient | undefined {
  if (!isKind(node, 'Sub')) return undefined;
  const [weighted, mean] = inputs.map((x) => made(uncast(x), 'Mul'));
  const total = mean && made(uncast(mean.inputs[1]!), 'ReduceSum');
  if (!weighted || !total || uncast(total.inputs[0]!).node !== weighted) return undefined;
  const [dWeights, weights] = weighted.inputs as [Value, Value];
  const product = made(dWeights, 'FusedMatMul');
  const isOf = weights === uncast(mean.inputs[0]!) && made(weights, 'Softmax');
  if (!isOf || !product || !isPlain(product, 1, true)) return undefined;
  const swapped = made(product.inputs[0]!, 'Transpose');
  return isSwap(swapped) ? { weights, dWeights, dMixed: swapped.inputs[0]! } : undefined;
}

/** What a value is a cast of. */
function uncast(x: Value): Value {
  return made(x, 'Cast')?.inputs[0] ?? x;
}

export interface FoundAttention {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly batch: number;
  readonly heads: number;
  /** What the operator does not give, [B, H, N, M]. */
  readonly weights: Value;
}

/** What attends where `node` is the last operator of `attentionByProducts`, `input` being what it is given; undefined elsewhere. */
export function foundAttention(node: OperatorNode, input: Value): FoundAttention | undefined {
  if (!isSwap(node)) return undefined;
  const product = made(input, 'FusedMatMul');
  const weights = product && made(product.inputs[0]!, 'Softmax');
  const scores = weights && made(weights.inputs[0]!, 'FusedMatMul');
  if (!scores || !isPlain(product, 1, false)) return undefined;
  const [queries, keys] = scores.inputs as [Value, Value];
  if (!isPlain(scores, attentionScale(queries), true)) return undefined;
  const weighted = product.inputs[0]!;
  const [q, k, v] = [queries, keys, product.inputs[1]!].map(unsplit);
  if (!q || !k || !v || weighted.shape.length !== 4) return undefined;
  return { q, k, v, batch: queries.shape[0]!, heads: queries.shape[1]!, weights: weighted };
}

/** What `splitHeads` was given. */
function unsplit(x: Value): Value | undefined {
  const swapped = made(x, 'Transpose');
  return isSwap(swapped) ? made(swapped.inputs[0]!, 'Reshape')?.inputs[0] : undefined;
}

function isSwap(node: OperatorNode | undefined): node is OperatorNode<'Transpose'> & OperatorNode {
  return !!node && isKind(node, 'Transpose') && node.attributes.perm.join() === SWAPPED.join();
}

function isPlain(
  { attributes: { alpha, transA, transB } }: OperatorNode<'FusedMatMul'>,
  scale: number,
  isTransposed: boolean,
): boolean {
  return alpha === scale && transA === 0 && transB === (isTransposed ? 1 : 0);
}

/** The operator that made a value, if it is of that kind. */
function made<K extends OperatorNode['operator']>(
  { node }: Value,
  operator: K,
): OperatorNode<K> | undefined {
  return node.kind === 'operator' && isKind(node, operator) ? node : undefined;
}
