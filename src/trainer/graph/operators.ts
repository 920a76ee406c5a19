/**
 * @file The operators of the graph: one row each, with attributes and shape inference.
 *
 * Names and meanings are ONNX's. What ONNX passes as a constant input (the axes of ReduceSum, the
 * shape of Reshape) is an attribute here, so every input of a node is data. The gradient rules, the
 * reference interpreter and the ONNX codec are tables over the same names: a row that is missing in
 * one of them does not compile.
 */
import type { DType, Shape } from '../tensor.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import { MICROSOFT_DOMAIN } from './onnx-format.ts';
import { broadcast, formatShape, normalAxis, shapeError, type TensorType } from './shapes.ts';
import { convolutionType, transposedConvolutionType } from './windows.ts';

interface AttributeTypes {
  int: number;
  ints: readonly number[];
  float: number;
  string: string;
  /** Stored as ONNX's element type number. */
  dtype: DType;
}

/** How an attribute is written in ONNX: as an attribute, or as a constant int64 input at a position. */
export interface AttributeSpec {
  readonly kind: keyof AttributeTypes;
  readonly input?: number;
  readonly default?: number | string | readonly number[];
}

export type AttributeSpecs = Readonly<Record<string, AttributeSpec>>;

type AttributesFrom<S extends AttributeSpecs> = {
  readonly [K in keyof S]: AttributeTypes[S[K]['kind']];
};

interface Row<S extends AttributeSpecs> {
  readonly attributes: S;
  /** Fewest and most data inputs. */
  readonly arity: readonly [number, number];
  /** ONNX operator set other than the default one. */
  readonly domain?: string;
  /** Version of the default set that has it first, where that is newer than OPSET. */
  readonly since?: number;
  infer(inputs: readonly TensorType[], attributes: AttributesFrom<S>): TensorType[];
}

function row<const S extends AttributeSpecs>(definition: Row<S>): Row<S> {
  return definition;
}

const NONE = {} as const;

/** How a convolution's kernel slides; its size is that of the weight. */
const WINDOW = {
  strides: { kind: 'ints' },
  pads: { kind: 'ints' },
  dilations: { kind: 'ints' },
  group: { kind: 'int', default: 1 },
} as const;

const unary = () =>
  row({ attributes: NONE, arity: [1, 1], infer: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }] });

const binary = (name: string, result?: DType) =>
  row({
    attributes: NONE,
    arity: [2, 2],
    infer: ([a, b]) => {
      if (a!.dtype !== b!.dtype) throw shapeError(name, `types ${a!.dtype} and ${b!.dtype} differ`);
      return [{ dtype: result ?? a!.dtype, shape: broadcast(name, a!.shape, b!.shape) }];
    },
  });

const reduction = (name: string) =>
  row({
    attributes: {
      axes: { kind: 'ints', input: 1 },
      keepdims: { kind: 'int', default: 1 },
    },
    arity: [1, 1],
    infer: ([x], { axes, keepdims }) => {
      // For ONNX no axes are all axes, so for a scalar only there is but one reading.
      if (axes.length === 0 && x!.shape.length > 0) throw shapeError(name, 'no axes are given');
      const reduced = new Set(axes.map((a) => normalAxis(name, a, x!.shape.length)));
      const shape = x!.shape.flatMap((d, i) => (reduced.has(i) ? (keepdims ? [1] : []) : [d]));
      return [{ dtype: x!.dtype, shape }];
    },
  });

function matMulShape(a: Shape, b: Shape): number[] {
  const [m, k] = a.slice(-2);
  const [k2, n] = b.slice(-2);
  if (a.length < 2 || b.length < 2 || k !== k2) {
    throw shapeError('MatMul', `${formatShape(a)} and ${formatShape(b)} do not multiply`);
  }
  return [...broadcast('MatMul', a.slice(0, -2), b.slice(0, -2)), m!, n!];
}

/** Start and end of one sliced axis after ONNX's clamping; steps are positive. */
export function sliceRange(start: number, end: number, size: number): [number, number] {
  const clamp = (v: number) => Math.min(Math.max(v < 0 ? v + size : v, 0), size);
  return [clamp(start), clamp(end)];
}

export const OPERATORS = {
  // One tensor in, the same shape out.
  Identity: unary(),
  Neg: unary(),
  Abs: unary(),
  Exp: unary(),
  Log: unary(),
  Sqrt: unary(),
  Reciprocal: unary(),
  Sin: unary(),
  Cos: unary(),
  Tanh: unary(),
  Sigmoid: unary(),
  Erf: unary(),
  /** `approximate` is 'none' (erf) or 'tanh'. */
  Gelu: row({
    attributes: { approximate: { kind: 'string', default: 'none' } },
    arity: [1, 1],
    infer: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
  }),
  /** x sigmoid(alpha x), which is SiLU for alpha = 1; ONNX Runtime's own operator. */
  QuickGelu: row({
    domain: 'com.microsoft',
    attributes: { alpha: { kind: 'float', default: 1.702 } },
    arity: [1, 1],
    infer: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
  }),
  Cast: row({
    attributes: { to: { kind: 'dtype' } },
    arity: [1, 1],
    infer: ([x], { to }) => [{ dtype: to, shape: x!.shape }],
  }),

  // Elementwise with broadcasting.
  Add: binary('Add'),
  Sub: binary('Sub'),
  Mul: binary('Mul'),
  Div: binary('Div'),
  Pow: binary('Pow'),
  Min: binary('Min'),
  Max: binary('Max'),
  Equal: binary('Equal', 'bool'),
  Less: binary('Less', 'bool'),
  LessOrEqual: binary('LessOrEqual', 'bool'),
  Greater: binary('Greater', 'bool'),
  Where: row({
    attributes: NONE,
    arity: [3, 3],
    infer: ([condition, a, b]) => {
      if (condition!.dtype !== 'bool') throw shapeError('Where', 'the condition must be bool');
      if (a!.dtype !== b!.dtype) {
        throw shapeError('Where', `types ${a!.dtype} and ${b!.dtype} differ`);
      }
      const shape = broadcast('Where', condition!.shape, broadcast('Where', a!.shape, b!.shape));
      return [{ dtype: a!.dtype, shape }];
    },
  }),

  // Products.
  MatMul: row({
    attributes: NONE,
    arity: [2, 2],
    infer: ([a, b]) => [{ dtype: a!.dtype, shape: matMulShape(a!.shape, b!.shape) }],
  }),
  /** op(A) op(B) + C for matrices; C broadcasts to the product. */
  Gemm: row({
    attributes: {
      transA: { kind: 'int', default: 0 },
      transB: { kind: 'int', default: 0 },
      alpha: { kind: 'float', default: 1 },
      beta: { kind: 'float', default: 1 },
    },
    arity: [2, 3],
    infer: ([a, b, c], { transA, transB }) => {
      if (a!.shape.length !== 2 || b!.shape.length !== 2) {
        throw shapeError('Gemm', 'both factors must be matrices');
      }
      const flip = (s: Shape, t: number) => (t ? [s[1]!, s[0]!] : s);
      const shape = matMulShape(flip(a!.shape, transA), flip(b!.shape, transB));
      if (c && !sameShape(broadcast('Gemm', shape, c.shape), shape)) {
        throw shapeError(
          'Gemm',
          `${formatShape(c.shape)} does not broadcast to ${formatShape(shape)}`,
        );
      }
      return [{ dtype: a!.dtype, shape }];
    },
  }),
  /** alpha op(A) op(B) on the last two axes, batched; ONNX Runtime's own operator. */
  FusedMatMul: row({
    domain: MICROSOFT_DOMAIN,
    attributes: {
      transA: { kind: 'int', default: 0 },
      transB: { kind: 'int', default: 0 },
      alpha: { kind: 'float', default: 1 },
    },
    arity: [2, 2],
    infer: ([a, b], { transA, transB }) => {
      const flip = (s: Shape, t: number) =>
        t ? [...s.slice(0, -2), s[s.length - 1]!, s[s.length - 2]!] : s;
      return [
        { dtype: a!.dtype, shape: matMulShape(flip(a!.shape, transA), flip(b!.shape, transB)) },
      ];
    },
  }),
  /** Cross-correlation of x [N, C, ...] with weight [K, C / group, ...kernel], and a bias [K]. */
  Conv: row({
    attributes: WINDOW,
    arity: [2, 3],
    infer: (inputs, window) => [convolutionType(inputs, window)],
  }),
  /** The gradient of Conv by its input as an operator: x [N, C, ...], weight [C, K / group, ...kernel]. */
  ConvTranspose: row({
    attributes: { ...WINDOW, output_padding: { kind: 'ints' } },
    arity: [2, 3],
    infer: (inputs, window) => [transposedConvolutionType(inputs, window)],
  }),

  // Reductions and normalisations.
  ReduceSum: reduction('ReduceSum'),
  ReduceMean: reduction('ReduceMean'),
  ReduceMax: reduction('ReduceMax'),
  ReduceSumSquare: reduction('ReduceSumSquare'),
  Softmax: row({
    attributes: { axis: { kind: 'int', default: -1 } },
    arity: [1, 1],
    infer: ([x], { axis }) => {
      normalAxis('Softmax', axis, x!.shape.length);
      return [{ dtype: x!.dtype, shape: x!.shape }];
    },
  }),
  /** softmax(q k^T / sqrt(D)) v in H heads: q [B, N, H D] on k, v [B, M, H D]. ONNX's options and masks are not there. */
  Attention: row({
    since: 23,
    attributes: { q_num_heads: { kind: 'int' }, kv_num_heads: { kind: 'int' } },
    arity: [3, 3],
    infer: ([q, k, v], { q_num_heads, kv_num_heads }) => {
      const [batch, , width] = q!.shape;
      const fits = [q!, k!, v!].every(({ dtype, shape }) => {
        const isLike = dtype === q!.dtype && shape.length === 3;
        return isLike && shape[0] === batch && shape[2] === width;
      });
      const isSplit = q_num_heads === kv_num_heads && width! % q_num_heads === 0;
      if (!fits || !isSplit || !sameShape(k!.shape, v!.shape)) {
        const shapes = [q!, k!, v!].map(({ shape }) => formatShape(shape)).join(', ');
        throw shapeError('Attention', `${shapes} do not attend in ${q_num_heads} heads`);
      }
      return [{ dtype: q!.dtype, shape: q!.shape }];
    },
  }),
  /** Over the last axis; inputs x, scale and, optionally, bias; outputs y, mean and 1/deviation, as in ONNX. */
  LayerNormalization: row({
    attributes: { axis: { kind: 'int', default: -1 }, epsilon: { kind: 'float', default: 1e-5 } },
    arity: [2, 3],
    infer: ([x, scale, bias], { axis }) => {
      const { dtype, shape } = x!;
      if (normalAxis('LayerNormalization', axis, shape.length) !== shape.length - 1) {
        throw shapeError('LayerNormalization', 'only the last axis is normalised');
      }
      for (const p of [scale, bias]) {
        if (p && !sameShape(broadcast('LayerNormalization', shape, p.shape), shape)) {
          throw shapeError('LayerNormalization', `${formatShape(p.shape)} does not broadcast`);
        }
      }
      const statistic = { dtype, shape: shape.with(-1, 1) };
      return [{ dtype, shape }, statistic, statistic];
    },
  }),

  // Moving data.
  Reshape: row({
    attributes: { shape: { kind: 'ints', input: 1 } },
    arity: [1, 1],
    infer: ([x], { shape }) => {
      const known = sizeOf(shape.filter((d) => d !== -1));
      const target = shape.map((d) => (d === -1 ? sizeOf(x!.shape) / known : d));
      const isSize = (d: number) => Number.isInteger(d) && d >= 0;
      if (sizeOf(target) !== sizeOf(x!.shape) || !target.every(isSize)) {
        throw shapeError('Reshape', `${formatShape(x!.shape)} does not fill ${formatShape(shape)}`);
      }
      return [{ dtype: x!.dtype, shape: target }];
    },
  }),
  Expand: row({
    attributes: { shape: { kind: 'ints', input: 1 } },
    arity: [1, 1],
    infer: ([x], { shape }) => {
      if (shape.some((d) => d < 0)) throw shapeError('Expand', `to ${formatShape(shape)}`);
      return [{ dtype: x!.dtype, shape: broadcast('Expand', x!.shape, shape) }];
    },
  }),
  Transpose: row({
    attributes: { perm: { kind: 'ints' } },
    arity: [1, 1],
    infer: ([x], { perm }) => {
      const { dtype, shape } = x!;
      if (perm.length !== shape.length || shape.some((_, i) => !perm.includes(i))) {
        throw shapeError('Transpose', `${formatShape(perm)} does not permute ${shape.length} axes`);
      }
      return [{ dtype, shape: perm.map((p) => shape[p]!) }];
    },
  }),
  Concat: row({
    attributes: { axis: { kind: 'int' } },
    arity: [1, Number.POSITIVE_INFINITY],
    infer: (inputs, { axis }) => {
      const first = inputs[0]!;
      const at = normalAxis('Concat', axis, first.shape.length);
      for (const { dtype, shape } of inputs) {
        if (dtype !== first.dtype) throw shapeError('Concat', 'the types differ');
        const fits = shape.length === first.shape.length;
        if (!fits || !sameShape(shape.with(at, 0), first.shape.with(at, 0))) {
          throw shapeError(
            'Concat',
            `${formatShape(shape)} does not join ${formatShape(first.shape)}`,
          );
        }
      }
      const joined = inputs.reduce((n, { shape }) => n + shape[at]!, 0);
      return [{ dtype: first.dtype, shape: first.shape.with(at, joined) }];
    },
  }),
  /** Contiguous ranges along `axes` (steps of 1). */
  Slice: row({
    attributes: {
      starts: { kind: 'ints', input: 1 },
      ends: { kind: 'ints', input: 2 },
      axes: { kind: 'ints', input: 3 },
    },
    arity: [1, 1],
    infer: ([x], { starts, ends, axes }) => {
      let shape: Shape = x!.shape;
      for (const [i, axis] of axes.entries()) {
        const at = normalAxis('Slice', axis, shape.length);
        const [from, to] = sliceRange(starts[i]!, ends[i]!, shape[at]!);
        shape = shape.with(at, Math.max(to - from, 0));
      }
      return [{ dtype: x!.dtype, shape }];
    },
  }),
  Split: row({
    attributes: { axis: { kind: 'int', default: 0 }, split: { kind: 'ints', input: 1 } },
    arity: [1, 1],
    infer: ([x], { axis, split }) => {
      const at = normalAxis('Split', axis, x!.shape.length);
      if (split.some((n) => n < 0) || split.reduce((a, b) => a + b, 0) !== x!.shape[at]) {
        throw shapeError('Split', `${formatShape(split)} does not add up to ${x!.shape[at]}`);
      }
      return split.map((n) => ({ dtype: x!.dtype, shape: x!.shape.with(at, n) }));
    },
  }),
  /** Zeros around the data: `pads` lists the counts before each axis, then those after. */
  Pad: row({
    attributes: { pads: { kind: 'ints', input: 1 } },
    arity: [1, 1],
    infer: ([x], { pads }) => {
      const rank = x!.shape.length;
      if (pads.length !== 2 * rank || pads.some((p) => p < 0)) {
        throw shapeError('Pad', `${formatShape(pads)} does not pad ${rank} axes`);
      }
      const shape = x!.shape.map((d, i) => d + pads[i]! + pads[rank + i]!);
      return [{ dtype: x!.dtype, shape }];
    },
  }),
  /** Rows of `data` along `axis`, chosen by integer indices. */
  Gather: row({
    attributes: { axis: { kind: 'int', default: 0 } },
    arity: [2, 2],
    infer: ([data, indices], { axis }) => {
      const at = normalAxis('Gather', axis, data!.shape.length);
      const shape = [...data!.shape.slice(0, at), ...indices!.shape, ...data!.shape.slice(at + 1)];
      return [{ dtype: data!.dtype, shape }];
    },
  }),
} as const;

export type OperatorName = keyof typeof OPERATORS;

export type AttributesOf<K extends OperatorName> = AttributesFrom<
  (typeof OPERATORS)[K]['attributes']
>;

/** A row with its attribute types forgotten, for code that walks all operators. */
export interface AnyOperator {
  readonly attributes: AttributeSpecs;
  readonly arity: readonly [number, number];
  readonly domain?: string;
  readonly since?: number;
  infer(inputs: readonly TensorType[], attributes: Readonly<Record<string, unknown>>): TensorType[];
}

export function operatorRow(name: OperatorName): AnyOperator {
  return OPERATORS[name] as unknown as AnyOperator;
}
