/** @file Layers that several networks use. Weights lie as in PyTorch: [out, in]. */
import { attentionByProducts } from '../graph/attention.ts';
import type { Value } from '../graph/graph.ts';
import { filled } from '../graph/graph.ts';
import { add, gemm, layerNormalization, mul, reshape, split } from '../graph/ops.ts';
import type { Adapter, Init, Scope } from './parameters.ts';

/** PyTorch's default for linear layers: uniform with bound 1/sqrt(in). */
export const fanIn = (inputs: number): Init => ({ kind: 'uniform', bound: 1 / Math.sqrt(inputs) });

export const ZEROS: Init = { kind: 'zeros' };

/** x W^T + b for a matrix x [rows, in]; parameters `name.weight` [out, in] and `name.bias` [out]. */
export function linear(scope: Scope, name: string, x: Value, out: number, init?: Init): Value {
  const inputs = x.shape[1]!;
  const weight = scope.parameter(`${name}.weight`, [out, inputs], init ?? fanIn(inputs));
  const bias = scope.parameter(`${name}.bias`, [out], init ?? fanIn(inputs));
  const y = affine(x, weight, bias);
  const adapter = scope.adapter?.(name, inputs, out);
  return adapter ? add(y, product(inner(adapter, x), adapter.up)) : y;
}

/**
 * Queries, keys and values of x [rows, W] by one weight `name.weight` [3 W, W], as three products:
 * splitting the weight is cheaper than splitting the result.
 */
export function queriesKeysValues(scope: Scope, name: string, x: Value): [Value, Value, Value] {
  const width = x.shape[1]!;
  const thirds = [width, width, width];
  const init = fanIn(width);
  const weights = split(scope.parameter(`${name}.weight`, [3 * width, width], init), 0, thirds);
  const biases = split(scope.parameter(`${name}.bias`, [3 * width], init), 0, thirds);
  const adapter = scope.adapter?.(name, width, 3 * width);
  const low = adapter && inner(adapter, x);
  const ups = adapter && split(adapter.up, 0, thirds);
  const part = (i: number) => {
    const y = affine(x, weights[i]!, biases[i]!);
    return low && ups ? add(y, product(low, ups[i]!)) : y;
  };
  return [part(0), part(1), part(2)];
}

/** x W^T for a matrix x [rows, in]. */
const product = (x: Value, weight: Value): Value => gemm(x, weight, undefined, { transB: true });

/** scale x down^T, [rows, rank]. */
const inner = ({ down, scale }: Adapter, x: Value): Value => mul(product(x, down), scale);

/** `parts` vectors [B, 1, W] for adaLN, by a linear layer from the condition [B, W] that starts at zero. */
export function modulations(
  scope: Scope,
  name: string,
  condition: Value,
  parts: number,
): readonly Value[] {
  const [batch, width] = condition.shape as [number, number];
  const all = linear(scope, name, condition, parts * width, ZEROS);
  const widths = new Array<number>(parts).fill(width);
  return split(reshape(all, [batch, 1, parts * width]), 2, widths);
}

/**
 * Results above this get their bias by an operator of its own: ONNX Runtime's Gemm copies the bias
 * into the result on one thread first. Below, another operator costs more than that.
 */
const SEPARATE_BIAS_ELEMENTS = 1 << 16;

/** x W^T + b for a matrix x [rows, in]. */
export function affine(x: Value, weight: Value, bias: Value): Value {
  const isSmall = x.shape[0]! * weight.shape[0]! <= SEPARATE_BIAS_ELEMENTS;
  if (isSmall) return gemm(x, weight, bias, { transB: true });
  return add(gemm(x, weight, undefined, { transB: true }), bias);
}

/** Layer normalisation without gain and bias over the last axis. */
export function normalise(x: Value, epsilon = 1e-6): Value {
  const width = x.shape.at(-1)!;
  const ones = x.graph.constant({
    dtype: x.dtype,
    shape: [width],
    data: filled(x.dtype, width, 1),
  });
  return layerNormalization(x, ones, undefined, epsilon);
}

/** adaLN: normalise(h) (1 + scale) + shift, with h [B, N, W] and scale, shift [B, 1, W] (Peebles & Xie 2023, 3.2). */
export function modulate(h: Value, shift: Value, scale: Value): Value {
  return add(mul(normalise(h), add(scale, 1)), shift);
}

/** Scaled dot-product attention of q [B * N, W] on k, v [B * M, W], with W split into heads; the result is [B * N, W]. */
export function attention(q: Value, k: Value, v: Value, batch: number, heads: number): Value {
  return reshape(attentionByProducts([q, k, v], batch, heads), q.shape);
}
