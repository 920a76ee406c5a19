/** @file The operators as functions of values. A number stands for a scalar of the other operand's type. */
import { bug } from '../../errors.ts';
import type { DType, Shape } from '../tensor.ts';
import { sameShape } from '../tensor.ts';
import type { Value } from './graph.ts';
import type { OperatorName } from './operators.ts';
import { broadcastAxes, normalAxis } from './shapes.ts';
import { plainWindow, type TransposedWindow, type Window } from './windows.ts';

type Plain = {
  [K in OperatorName]: K extends
    | 'Neg'
    | 'Abs'
    | 'Exp'
    | 'Log'
    | 'Sqrt'
    | 'Reciprocal'
    | 'Sin'
    | 'Cos'
    | 'Tanh'
    | 'Sigmoid'
    | 'Erf'
    | 'Identity'
    ? K
    : never;
}[OperatorName];

const unary =
  (operator: Plain) =>
  (x: Value): Value =>
    x.graph.apply(operator, [x], {})[0]!;

type Operand = Value | number;

function operands(a: Operand, b: Operand): [Value, Value] {
  if (typeof a !== 'number') return [a, typeof b === 'number' ? a.graph.scalar(b, a.dtype) : b];
  if (typeof b === 'number') throw bug('an operation on two numbers needs no graph');
  return [b.graph.scalar(a, b.dtype), b];
}

type Binary =
  | 'Add'
  | 'Sub'
  | 'Mul'
  | 'Div'
  | 'Pow'
  | 'Min'
  | 'Max'
  | 'Equal'
  | 'Less'
  | 'LessOrEqual'
  | 'Greater';

const binary =
  (operator: Binary) =>
  (a: Operand, b: Operand): Value => {
    const pair = operands(a, b);
    return pair[0].graph.apply(operator, pair, {})[0]!;
  };

export const identity = unary('Identity');
export const neg = unary('Neg');
export const abs = unary('Abs');
export const exp = unary('Exp');
export const log = unary('Log');
export const sqrt = unary('Sqrt');
export const reciprocal = unary('Reciprocal');
export const sin = unary('Sin');
export const cos = unary('Cos');
export const tanh = unary('Tanh');
export const sigmoid = unary('Sigmoid');
export const erf = unary('Erf');
export const add = binary('Add');
export const sub = binary('Sub');
export const mul = binary('Mul');
export const div = binary('Div');
export const pow = binary('Pow');
export const min = binary('Min');
export const max = binary('Max');
export const equal = binary('Equal');
export const less = binary('Less');
export const lessOrEqual = binary('LessOrEqual');
export const greater = binary('Greater');

export const square = (x: Value): Value => mul(x, x);

/** x sigmoid(x). */
export const silu = (x: Value): Value => x.graph.apply('QuickGelu', [x], { alpha: 1 })[0]!;

export function gelu(x: Value, approximate: 'none' | 'tanh'): Value {
  return x.graph.apply('Gelu', [x], { approximate })[0]!;
}

export function cast(x: Value, to: DType): Value {
  return x.dtype === to ? x : x.graph.apply('Cast', [x], { to })[0]!;
}

export function where(condition: Value, a: Value, b: Value): Value {
  return condition.graph.apply('Where', [condition, a, b], {})[0]!;
}

export function matMul(a: Value, b: Value): Value {
  return a.graph.apply('MatMul', [a, b], {})[0]!;
}

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

/** op(a) op(b) + c for matrices. */
export function gemm(a: Value, b: Value, c: Value | undefined, options: GemmOptions = {}): Value {
  const attributes = {
    transA: options.transA ? 1 : 0,
    transB: options.transB ? 1 : 0,
    alpha: 1,
    beta: 1,
  };
  return a.graph.apply('Gemm', c ? [a, b, c] : [a, b], attributes)[0]!;
}

/** alpha op(a) op(b) on the last two axes, batched over the others. */
export function batchedMatMul(
  a: Value,
  b: Value,
  options: GemmOptions & { readonly alpha?: number } = {},
): Value {
  const attributes = {
    transA: options.transA ? 1 : 0,
    transB: options.transB ? 1 : 0,
    alpha: options.alpha ?? 1,
  };
  return a.graph.apply('FusedMatMul', [a, b], attributes)[0]!;
}

/** Slides weight [K, C / group, ...kernel] over x [N, C, ...]; by one, without padding, unless told otherwise. */
export function convolution(
  x: Value,
  weight: Value,
  bias: Value | undefined,
  window: Partial<Window> = {},
): Value {
  const attributes = { ...plainWindow(x.shape.length - 2), ...window };
  return x.graph.apply('Conv', bias ? [x, weight, bias] : [x, weight], attributes)[0]!;
}

/** Spreads x [N, C, ...] by weight [C, K / group, ...kernel]: what takes a convolution's gradient to its input. */
export function transposedConvolution(
  x: Value,
  weight: Value,
  bias: Value | undefined,
  window: Partial<TransposedWindow> = {},
): Value {
  const rank = x.shape.length - 2;
  const output_padding = new Array<number>(rank).fill(0);
  const attributes = { ...plainWindow(rank), output_padding, ...window };
  return x.graph.apply('ConvTranspose', bias ? [x, weight, bias] : [x, weight], attributes)[0]!;
}

type Reduction = 'ReduceSum' | 'ReduceMean' | 'ReduceSumSquare';

const reduction =
  (operator: Reduction) =>
  (x: Value, axes: readonly number[] = x.shape.map((_, i) => i), keepdims = false): Value => {
    const normal = axes.map((a) => normalAxis(operator, a, x.shape.length));
    return x.graph.apply(operator, [x], { axes: normal, keepdims: keepdims ? 1 : 0 })[0]!;
  };

export const reduceSum = reduction('ReduceSum');
export const reduceMean = reduction('ReduceMean');
export const reduceSumSquare = reduction('ReduceSumSquare');

export function softmax(x: Value, axis = -1): Value {
  return x.graph.apply('Softmax', [x], { axis })[0]!;
}

/** (x - mean) / deviation over the last axis, times `scale`, plus `bias`. */
export function layerNormalization(
  x: Value,
  scale: Value,
  bias: Value | undefined,
  epsilon: number,
): Value {
  const inputs = bias ? [x, scale, bias] : [x, scale];
  return x.graph.apply('LayerNormalization', inputs, { axis: -1, epsilon })[0]!;
}

export function reshape(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply('Reshape', [x], { shape })[0]!;
}

export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply('Expand', [x], { shape })[0]!;
}

/** Scaled dot-product attention of q [B, N, W] on k, v [B, M, W] as one operator. */
export function fusedAttention(q: Value, k: Value, v: Value, heads: number): Value {
  const attributes = { q_num_heads: heads, kv_num_heads: heads };
  return q.graph.apply('Attention', [q, k, v], attributes)[0]!;
}

export function transpose(x: Value, perm: readonly number[]): Value {
  return perm.every((p, i) => p === i) ? x : x.graph.apply('Transpose', [x], { perm })[0]!;
}

export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0];
  if (!first) throw bug('concat of nothing');
  return values.length === 1 ? first : first.graph.apply('Concat', values, { axis })[0]!;
}

/** Elements [start, end) along one axis. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  return x.graph.apply('Slice', [x], { starts: [start], ends: [end], axes: [axis] })[0]!;
}

export function split(x: Value, axis: number, sizes: readonly number[]): readonly Value[] {
  return x.graph.apply('Split', [x], { axis, split: sizes });
}

export function pad(x: Value, pads: readonly number[]): Value {
  return pads.every((p) => p === 0) ? x : x.graph.apply('Pad', [x], { pads })[0]!;
}

export function gather(data: Value, indices: Value, axis = 0): Value {
  return data.graph.apply('Gather', [data, indices], { axis })[0]!;
}

/** Sums a gradient of a broadcast result back to the shape of the operand. */
export function sumTo(x: Value, shape: Shape): Value {
  const axes = broadcastAxes(x.shape, shape);
  if (axes.length === 0) return reshape(x, shape);
  if (x.shape.length === 2 && axes.length === 1 && axes[0] === 0 && x.shape[1]! > 1) {
    // The columns of a matrix are summed two to three times faster as a product with ones.
    const ones = expand(x.graph.scalar(1, x.dtype), [1, x.shape[0]!]);
    return reshape(matMul(ones, x), shape);
  }
  return reshape(reduceSum(x, axes, true), shape);
}
