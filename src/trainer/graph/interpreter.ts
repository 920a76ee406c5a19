/**
 * @file A reference interpreter of graphs in float64: slow, plain, and independent of ONNX Runtime.
 * Integers and booleans are held as float64 too, which is exact below 2^53; results of 16 bits are rounded to them.
 */
import { bug } from '../../errors.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import type { Graph, OperatorNode } from './graph.ts';
import { attend, softmaxOf } from './interpreter-attention.ts';
import { convolve, convolveTransposed } from './interpreter-convolution.ts';
import { type OperatorName, sliceRange } from './operators.ts';
import { rounded } from './rounding.ts';
import { normalAxis, stridesOf } from './shapes.ts';

export interface Plain {
  readonly shape: Shape;
  readonly data: Float64Array;
}

type Evaluate<K extends OperatorName> = (
  inputs: readonly Plain[],
  node: OperatorNode<K>,
) => readonly Float64Array[];

const unary =
  (f: (x: number) => number): Evaluate<OperatorName> =>
  ([x]) => [x!.data.map(f)];

/** Calls `visit` for each index of `shape` in order, with the sum of the index times `strides`. */
function eachOffset(
  shape: Shape,
  strides: readonly number[],
  visit: (i: number, offset: number) => void,
): void {
  const last = shape.length - 1;
  if (last < 0) {
    visit(0, 0);
    return;
  }
  const [run, step] = [shape[last]!, strides[last]!];
  const index = new Array<number>(last).fill(0);
  let base = 0;
  for (let i = 0; i < sizeOf(shape); i += run) {
    for (let k = 0; k < run; k++) visit(i + k, base + k * step);
    for (let d = last - 1; d >= 0; d--) {
      base += strides[d]!;
      if (++index[d]! < shape[d]!) break;
      base -= shape[d]! * strides[d]!;
      index[d] = 0;
    }
  }
}

/** Copies elements: that of `index` is x.data[base + index times strides]. */
function strided(x: Plain, shape: Shape, strides: readonly number[], base = 0): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  eachOffset(shape, strides, (i, offset) => {
    out[i] = x.data[base + offset]!;
  });
  return out;
}

/** Reads `x` at every position of the broadcast `shape`. */
function broadcastTo(x: Plain, shape: Shape): Float64Array {
  if (sameShape(x.shape, shape)) return x.data;
  const lead = shape.length - x.shape.length;
  const own = stridesOf(x.shape).map((stride, d) => (x.shape[d] === 1 ? 0 : stride));
  return strided(x, shape, [...new Array<number>(lead).fill(0), ...own]);
}

const binary =
  (f: (a: number, b: number) => number): Evaluate<OperatorName> =>
  ([a, b], node) => {
    const { shape } = node.outputs[0]!;
    const right = broadcastTo(b!, shape);
    return [broadcastTo(a!, shape).map((x, i) => f(x, right[i]!))];
  };

/** Abramowitz and Stegun give 1e-7; this series and continued fraction give full precision. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * sum && n < 200; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function gelu(x: number, approximate: string): number {
  if (approximate !== 'tanh') return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** Copies elements: element i of the result (of `shape`) is x.data[source(index)]. */
function moved(shape: Shape, x: Plain, source: (index: readonly number[]) => number): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  const strides = stridesOf(shape);
  const index = new Array<number>(shape.length);
  for (let i = 0; i < out.length; i++) {
    for (let d = 0; d < shape.length; d++) index[d] = Math.floor(i / strides[d]!) % shape[d]!;
    const at = source(index);
    out[i] = at < 0 ? 0 : x.data[at]!;
  }
  return out;
}

const dot = (index: readonly number[], strides: readonly number[]) =>
  index.reduce((sum, k, d) => sum + k * strides[d]!, 0);

function transposed(x: Plain, perm: readonly number[]): Plain {
  const shape = perm.map((p) => x.shape[p]!);
  const own = stridesOf(x.shape);
  const strides = perm.map((p) => own[p]!);
  return { shape, data: strided(x, shape, strides) };
}

function swapLast(x: Plain): Plain {
  const rank = x.shape.length;
  return transposed(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}

/** Batched matrix product with broadcasting over the leading axes, into `shape`. */
function matMul(a: Plain, b: Plain, shape: Shape, alpha = 1): Float64Array {
  const [m, n] = shape.slice(-2) as [number, number];
  const k = a.shape.at(-1)!;
  const lead = shape.slice(0, -2);
  const left = broadcastTo(a, [...lead, m, k]);
  const right = broadcastTo(b, [...lead, k, n]);
  const out = new Float64Array(sizeOf(shape));
  for (let s = 0; s < sizeOf(lead); s++) {
    for (let i = 0; i < m; i++) {
      for (let l = 0; l < k; l++) {
        const x = alpha * left[(s * m + i) * k + l]!;
        const row = (s * k + l) * n;
        const to = (s * m + i) * n;
        for (let j = 0; j < n; j++) out[to + j]! += x * right[row + j]!;
      }
    }
  }
  return out;
}

type ReduceName = 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceSumSquare';

const reduction =
  (
    start: number,
    step: (sum: number, x: number) => number,
    finish = (sum: number, _count: number) => sum,
  ): Evaluate<ReduceName> =>
  ([x], { attributes, operator }) => {
    const axes = new Set(attributes.axes.map((a) => normalAxis(operator, a, x!.shape.length)));
    const kept = x!.shape.map((d, i) => (axes.has(i) ? 1 : d));
    const out = new Float64Array(sizeOf(kept)).fill(start);
    const strides = stridesOf(kept).map((stride, d) => (axes.has(d) ? 0 : stride));
    eachOffset(x!.shape, strides, (i, at) => {
      out[at] = step(out[at]!, x!.data[i]!);
    });
    const count = x!.data.length / out.length;
    return [out.map((sum) => finish(sum, count))];
  };

/** Applies `f` to each run of elements along one axis. */
function alongAxis(x: Plain, axis: number, f: (lane: number[]) => number[]): Float64Array {
  const stride = stridesOf(x.shape)[axis]!;
  const size = x.shape[axis]!;
  const out = new Float64Array(x.data.length);
  for (let i = 0; i < x.data.length; i++) {
    if (Math.floor(i / stride) % size !== 0) continue;
    const lane = Array.from({ length: size }, (_, k) => x.data[i + k * stride]!);
    for (const [k, v] of f(lane).entries()) out[i + k * stride] = v;
  }
  return out;
}

const EVALUATE: { readonly [K in OperatorName]: Evaluate<K> } = {
  Identity: ([x]) => [x!.data],
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tanh: unary(Math.tanh),
  Sigmoid: unary(sigmoid),
  Erf: unary(erf),
  Gelu: ([x], { attributes }) => [x!.data.map((v) => gelu(v, attributes.approximate))],
  QuickGelu: ([x], { attributes }) => [x!.data.map((v) => v * sigmoid(attributes.alpha * v))],
  Cast: ([x], { attributes }) => [
    attributes.to === 'bool'
      ? x!.data.map((v) => Number(v !== 0))
      : /^u?int/.test(attributes.to)
        ? x!.data.map(Math.trunc)
        : x!.data,
  ],
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: (inputs, node) => {
    const quotients = binary((a, b) => a / b)(inputs, node);
    // Integers are divided towards zero.
    return /int/.test(node.outputs[0]!.dtype) ? [quotients[0]!.map(Math.trunc)] : quotients;
  },
  Pow: binary((a, b) => a ** b),
  Min: binary(Math.min),
  Max: binary(Math.max),
  Equal: binary((a, b) => Number(a === b)),
  Less: binary((a, b) => Number(a < b)),
  LessOrEqual: binary((a, b) => Number(a <= b)),
  Greater: binary((a, b) => Number(a > b)),
  Where: ([condition, a, b], node) => {
    const { shape } = node.outputs[0]!;
    const left = broadcastTo(a!, shape);
    const right = broadcastTo(b!, shape);
    return [broadcastTo(condition!, shape).map((c, i) => (c ? left[i]! : right[i]!))];
  },
  MatMul: ([a, b], node) => [matMul(a!, b!, node.outputs[0]!.shape)],
  Gemm: ([a, b, c], node) => {
    const { transA, transB, alpha, beta } = node.attributes;
    const { shape } = node.outputs[0]!;
    const product = matMul(transA ? swapLast(a!) : a!, transB ? swapLast(b!) : b!, shape, alpha);
    if (!c) return [product];
    const bias = broadcastTo(c, shape);
    return [product.map((v, i) => v + beta * bias[i]!)];
  },
  FusedMatMul: ([a, b], node) => {
    const { transA, transB, alpha } = node.attributes;
    const { shape } = node.outputs[0]!;
    return [matMul(transA ? swapLast(a!) : a!, transB ? swapLast(b!) : b!, shape, alpha)];
  },
  Attention: ([q, k, v], { attributes }) => [attend(q!, k!, v!, attributes.q_num_heads)],
  Conv: ([x, weight, bias], { attributes, outputs }) => [
    convolve(x!, weight!, bias, outputs[0]!.shape, attributes),
  ],
  ConvTranspose: ([x, weight, bias], { attributes, outputs }) => [
    convolveTransposed(x!, weight!, bias, outputs[0]!.shape, attributes),
  ],
  ReduceSum: reduction(0, (sum, x) => sum + x),
  ReduceMean: reduction(
    0,
    (sum, x) => sum + x,
    (sum, count) => sum / count,
  ),
  ReduceMax: reduction(Number.NEGATIVE_INFINITY, Math.max),
  ReduceSumSquare: reduction(0, (sum, x) => sum + x * x),
  Softmax: ([x], { attributes }) => {
    const axis = normalAxis('Softmax', attributes.axis, x!.shape.length);
    return [alongAxis(x!, axis, softmaxOf)];
  },
  LayerNormalization: ([x, scale, bias], { attributes }) => {
    const size = x!.shape.at(-1)!;
    const rows = x!.data.length / size;
    const mean = new Float64Array(rows);
    const inverse = new Float64Array(rows);
    for (let r = 0; r < rows; r++) {
      const lane = x!.data.subarray(r * size, (r + 1) * size);
      mean[r] = lane.reduce((a, b) => a + b, 0) / size;
      const variance = lane.reduce((a, b) => a + (b - mean[r]!) ** 2, 0) / size;
      inverse[r] = 1 / Math.sqrt(variance + attributes.epsilon);
    }
    const gain = broadcastTo(scale!, x!.shape);
    const shift = bias ? broadcastTo(bias, x!.shape) : new Float64Array(x!.data.length);
    const y = x!.data.map((v, i) => {
      const r = Math.floor(i / size);
      return (v - mean[r]!) * inverse[r]! * gain[i]! + shift[i]!;
    });
    return [y, mean, inverse];
  },
  Reshape: ([x]) => [x!.data],
  Expand: ([x], node) => [broadcastTo(x!, node.outputs[0]!.shape)],
  Transpose: ([x], { attributes }) => [transposed(x!, attributes.perm).data],
  Concat: (inputs, node) => {
    const { shape } = node.outputs[0]!;
    const axis = normalAxis('Concat', node.attributes.axis, shape.length);
    const inner = sizeOf(shape.slice(axis + 1));
    const out = new Float64Array(sizeOf(shape));
    let offset = 0;
    for (const x of inputs) {
      const run = x.shape[axis]! * inner;
      for (let o = 0; o * run < x.data.length; o++) {
        out.set(x.data.subarray(o * run, (o + 1) * run), o * shape[axis]! * inner + offset);
      }
      offset += run;
    }
    return [out];
  },
  Slice: ([x], node) => {
    const { starts, ends, axes } = node.attributes;
    const strides = stridesOf(x!.shape);
    let base = 0;
    for (const [i, a] of axes.entries()) {
      const axis = normalAxis('Slice', a, x!.shape.length);
      base += sliceRange(starts[i]!, ends[i]!, x!.shape[axis]!)[0] * strides[axis]!;
    }
    return [strided(x!, node.outputs[0]!.shape, strides, base)];
  },
  Split: ([x], node) => {
    const axis = normalAxis('Split', node.attributes.axis, x!.shape.length);
    const strides = stridesOf(x!.shape);
    let start = 0;
    return node.outputs.map(({ shape }) => {
      const base = start * strides[axis]!;
      start += shape[axis]!;
      return strided(x!, shape, strides, base);
    });
  },
  Pad: ([x], node) => {
    const { pads } = node.attributes;
    const strides = stridesOf(x!.shape);
    return [
      moved(node.outputs[0]!.shape, x!, (index) => {
        const inner = index.map((k, d) => k - pads[d]!);
        return inner.every((k, d) => k >= 0 && k < x!.shape[d]!) ? dot(inner, strides) : -1;
      }),
    ];
  },
  Gather: ([data, indices], node) => {
    const { shape } = node.outputs[0]!;
    const axis = normalAxis('Gather', node.attributes.axis, data!.shape.length);
    const strides = stridesOf(data!.shape);
    const rank = indices!.shape.length;
    const rows = data!.shape[axis]!;
    const indexStrides = stridesOf(indices!.shape);
    return [
      moved(shape, data!, (index) => {
        const picked = indices!.data[dot(index.slice(axis, axis + rank), indexStrides)]!;
        const row = picked < 0 ? picked + rows : picked;
        const source = [...index.slice(0, axis), row, ...index.slice(axis + rank)];
        return dot(source, strides);
      }),
    ];
  },
};

/** Runs the whole graph on `feeds` (by input name) and returns its outputs by name. */
export function interpret(
  graph: Graph,
  feeds: ReadonlyMap<string, ArrayLike<number>>,
): Map<string, Plain> {
  const values = new Map<number, Plain>();
  for (const node of graph.nodes) {
    const results = evaluate(node, values, feeds);
    for (const [i, output] of node.outputs.entries()) {
      const data = results[i];
      if (!data || data.length !== sizeOf(output.shape))
        throw bug('interpreter: wrong result size');
      values.set(output.id, { shape: output.shape, data: rounded(data, output.dtype) });
    }
  }
  return new Map([...graph.outputs].map(([name, v]) => [name, values.get(v.id)!]));
}

function evaluate(
  node: Graph['nodes'][number],
  values: ReadonlyMap<number, Plain>,
  feeds: ReadonlyMap<string, ArrayLike<number>>,
): readonly Float64Array[] {
  switch (node.kind) {
    case 'input': {
      const data = feeds.get(node.name);
      if (!data) throw bug(`interpreter: input ${node.name} is not fed`);
      return [Float64Array.from(data)];
    }
    case 'constant':
      return [numbers(node.tensor)];
    case 'operator':
      return evaluateOperator(
        node,
        node.inputs.map((v) => values.get(v.id)!),
      );
  }
}

/** What one node makes of its inputs. */
export function evaluateOperator(
  node: OperatorNode,
  inputs: readonly Plain[],
): readonly Float64Array[] {
  return (EVALUATE[node.operator] as Evaluate<OperatorName>)(inputs, node);
}

function numbers(tensor: Tensor): Float64Array {
  return Float64Array.from<number | bigint>(tensor.data, Number);
}
