/** @file Layers that several networks use. Weights lie as in PyTorch: [out, in]. */
import type { Value } from '../graph/graph.ts';
import { filled } from '../graph/graph.ts';
import {
  add,
  batchedMatMul,
  gemm,
  layerNormalization,
  mul,
  reshape,
  softmax,
  transpose,
} from '../graph/ops.ts';
import type { Init, Scope } from './parameters.ts';

/** PyTorch's default for linear layers: uniform with bound 1/sqrt(in). */
export const fanIn = (inputs: number): Init => ({ kind: 'uniform', bound: 1 / Math.sqrt(inputs) });

export const ZEROS: Init = { kind: 'zeros' };

/** x W^T + b for a matrix x [rows, in]; parameters `name.weight` [out, in] and `name.bias` [out]. */
export function linear(scope: Scope, name: string, x: Value, out: number, init?: Init): Value {
  const inputs = x.shape[1]!;
  const weight = scope.parameter(`${name}.weight`, [out, inputs], init ?? fanIn(inputs));
  const bias = scope.parameter(`${name}.bias`, [out], init ?? fanIn(inputs));
  return affine(x, weight, bias);
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

/** Scaled dot-product attention of q, k, v, each [B * N, W] with W split into heads; the result is [B * N, W]. */
export function attention(q: Value, k: Value, v: Value, batch: number, heads: number): Value {
  const [rows, width] = q.shape as [number, number];
  const tokens = rows / batch;
  const depth = width / heads;
  const toHeads = (x: Value) => transpose(reshape(x, [batch, tokens, heads, depth]), [0, 2, 1, 3]);
  const alpha = 1 / Math.sqrt(depth);
  const weights = softmax(batchedMatMul(toHeads(q), toHeads(k), { transB: true, alpha }));
  const mixed = batchedMatMul(weights, toHeads(v)); // [B, H, N, W/H]
  return reshape(transpose(mixed, [0, 2, 1, 3]), [rows, width]);
}
