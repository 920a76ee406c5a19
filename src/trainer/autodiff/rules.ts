/**
 * @file Reverse-mode rules, one per operator: given the gradient of the loss with respect to each
 * output (`undefined` = zero), the gradient with respect to each input (`undefined` = none).
 *
 * The table is total over the operators: a missing rule does not compile. Rules emit operators into
 * the same graph, so the gradient of a graph is a graph and can be differentiated again.
 */
import { attentionScale, attentionWeights, joinHeads, splitHeads } from '../graph/attention.ts';
import type { OperatorNode, Value } from '../graph/graph.ts';
import { type OperatorName, sliceRange } from '../graph/operators.ts';
import {
  add,
  batchedMatMul,
  cast,
  concat,
  cos,
  div,
  equal,
  erf,
  exp,
  expand,
  gemm,
  greater,
  less,
  log,
  matMul,
  mul,
  neg,
  pad,
  pow,
  reduceMean,
  reduceSum,
  reshape,
  sigmoid,
  sin,
  slice,
  square,
  sub,
  sumTo,
  transpose,
  where,
} from '../graph/ops.ts';
import { inversePermutation, normalAxis } from '../graph/shapes.ts';
import { sizeOf } from '../tensor.ts';
import { convRule, convTransposeRule } from './rules-convolution.ts';

export type Gradient = Value | undefined;

/** Which inputs lead to what is differentiated: a rule need not build the gradients of the others. */
export type Wanted = readonly boolean[];

export type VjpRule<K extends OperatorName> = (
  node: OperatorNode<K>,
  outputGradients: readonly Gradient[],
  wanted: Wanted,
) => readonly Gradient[];

/** A rule for one input and one output, from d(x, y, dy) = dx. */
const unary =
  (d: (x: Value, y: Value, dy: Value) => Value): VjpRule<OperatorName> =>
  (node, [dy]) => [d(node.inputs[0]!, node.outputs[0]!, dy!)];

/** A rule for a broadcasting operator of two inputs; each gradient is summed back to its operand. */
const binary =
  (
    da: (a: Value, b: Value, y: Value, dy: Value) => Value,
    db: (a: Value, b: Value, y: Value, dy: Value) => Value,
  ): VjpRule<OperatorName> =>
  (node, [dy], wanted) => {
    const [a, b] = node.inputs as [Value, Value];
    const y = node.outputs[0]!;
    return [
      wanted[0] ? sumTo(da(a, b, y, dy!), a.shape) : undefined,
      wanted[1] ? sumTo(db(a, b, y, dy!), b.shape) : undefined,
    ];
  };

/** Piecewise constant operators: the gradient is zero almost everywhere. */
const constant: VjpRule<OperatorName> = (node) => node.inputs.map(() => undefined);

/** 1 where the condition holds, else 0, as a mask of the operands' type. */
const mask = (condition: Value, like: Value) => cast(condition, like.dtype);

/** Gradient of min or max: to the smaller (larger) operand, half to each where they are equal. */
const extremum = (wins: (a: Value, b: Value) => Value) =>
  binary(
    (a, b, _y, dy) => mul(dy, add(mask(wins(a, b), a), mul(mask(equal(a, b), a), 0.5))),
    (a, b, _y, dy) => mul(dy, add(mask(wins(b, a), a), mul(mask(equal(a, b), a), 0.5))),
  );

const keptAxes = (x: Value, axes: readonly number[]) =>
  x.shape.map((d, i) => (axes.includes(i) ? 1 : d));

/** Broadcasts the gradient of a reduction back over the reduced axes, scaled by `factor`. */
const reduction =
  (
    factor: (x: Value, y: Value, dy: Value, count: number) => Value,
  ): VjpRule<'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceSumSquare'> =>
  (node, [dy]) => {
    const x = node.inputs[0]!;
    const axes = node.attributes.axes.map((a) => normalAxis(node.operator, a, x.shape.length));
    const kept = keptAxes(x, axes);
    const count = sizeOf(x.shape) / sizeOf(kept);
    return [factor(x, reshape(node.outputs[0]!, kept), reshape(dy!, kept), count)];
  };

const swapLast = (x: Value) => {
  const rank = x.shape.length;
  return transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
};

/**
 * d gelu(x) / dx. Tanh form: gelu = x s with s = sigmoid(2 k (x + a x^3)), k = sqrt(2/pi), a = 0.044715.
 * With the result y at hand the derivative is s + y (1 - s) 2 k (1 + 3 a x^2), which needs no second product x s.
 */
function geluDerivative(x: Value, y: Value, approximate: string): Value {
  if (approximate === 'tanh') {
    const twoK = 2 * Math.sqrt(2 / Math.PI);
    const x2 = square(x);
    const s = sigmoid(mul(x, add(mul(x2, 0.044715 * twoK), twoK)));
    const slope = add(mul(x2, 3 * 0.044715 * twoK), twoK);
    return add(s, mul(mul(y, sub(1, s)), slope));
  }
  // gelu = x Phi(x): Phi(x) + x phi(x); Phi is y / x away from 0, so it is computed afresh.
  const erfTerm = erf(mul(x, Math.SQRT1_2));
  const density = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(mul(add(erfTerm, 1), 0.5), mul(x, density));
}

export const RULES: { readonly [K in OperatorName]: VjpRule<K> } = {
  Identity: unary((_x, _y, dy) => dy),
  Neg: unary((_x, _y, dy) => neg(dy)),
  Abs: unary((x, _y, dy) => mul(dy, sub(mask(greater(x, 0), x), mask(less(x, 0), x)))),
  Exp: unary((_x, y, dy) => mul(dy, y)),
  Log: unary((x, _y, dy) => div(dy, x)),
  Sqrt: unary((_x, y, dy) => div(mul(dy, 0.5), y)),
  Reciprocal: unary((_x, y, dy) => neg(mul(dy, square(y)))),
  Sin: unary((x, _y, dy) => mul(dy, cos(x))),
  Cos: unary((x, _y, dy) => neg(mul(dy, sin(x)))),
  Tanh: unary((_x, y, dy) => mul(dy, sub(1, square(y)))),
  Sigmoid: unary((_x, y, dy) => mul(dy, mul(y, sub(1, y)))),
  Erf: unary((x, _y, dy) => mul(dy, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI)))),
  Gelu: (node, [dy]) => {
    const x = node.inputs[0]!;
    return [mul(dy!, geluDerivative(x, node.outputs[0]!, node.attributes.approximate))];
  },
  /** y = x s with s = sigmoid(a x): y' = s + a y (1 - s). */
  QuickGelu: (node, [dy]) => {
    const { alpha } = node.attributes;
    const times = (x: Value) => (alpha === 1 ? x : mul(x, alpha));
    const s = sigmoid(times(node.inputs[0]!));
    return [mul(dy!, add(s, times(mul(node.outputs[0]!, sub(1, s)))))];
  },
  Cast: (node, [dy]) => {
    const x = node.inputs[0]!;
    return [isFloat(x) && isFloat(node.outputs[0]!) ? cast(dy!, x.dtype) : undefined];
  },

  Add: binary(
    (_a, _b, _y, dy) => dy,
    (_a, _b, _y, dy) => dy,
  ),
  Sub: (node, [dy], wanted) => {
    const [a, b] = node.inputs as [Value, Value];
    // The sign is applied after the sum, where the tensor is smaller.
    return [
      wanted[0] ? sumTo(dy!, a.shape) : undefined,
      wanted[1] ? neg(sumTo(dy!, b.shape)) : undefined,
    ];
  },
  Mul: binary(
    (_a, b, _y, dy) => mul(dy, b),
    (a, _b, _y, dy) => mul(dy, a),
  ),
  Div: binary(
    (_a, b, _y, dy) => div(dy, b),
    (_a, b, y, dy) => neg(div(mul(dy, y), b)),
  ),
  Pow: binary(
    (a, b, _y, dy) => mul(dy, mul(b, pow(a, sub(b, 1)))),
    (a, _b, y, dy) => mul(dy, mul(y, log(a))),
  ),
  Min: extremum(less),
  Max: extremum(greater),
  Equal: constant,
  Less: constant,
  LessOrEqual: constant,
  Greater: constant,
  Where: (node, [dy], wanted) => {
    const [condition, a, b] = node.inputs as [Value, Value, Value];
    const zero = condition.graph.scalar(0, a.dtype);
    return [
      undefined,
      wanted[1] ? sumTo(where(condition, dy!, zero), a.shape) : undefined,
      wanted[2] ? sumTo(where(condition, zero, dy!), b.shape) : undefined,
    ];
  },

  MatMul: (node, [dy], wanted) => {
    const [a, b] = node.inputs as [Value, Value];
    return [
      wanted[0] ? sumTo(matMul(dy!, swapLast(b)), a.shape) : undefined,
      wanted[1] ? sumTo(matMul(swapLast(a), dy!), b.shape) : undefined,
    ];
  },
  Gemm: (node, [dy], wanted) => {
    const [a, b, c] = node.inputs as [Value, Value, Value | undefined];
    const { transA, transB, alpha, beta } = node.attributes;
    const scaled = (x: Value, factor: number) => (factor === 1 ? x : mul(x, factor));
    const da = transA
      ? () => gemm(b, dy!, undefined, { transA: !!transB, transB: true })
      : () => gemm(dy!, b, undefined, { transB: !transB });
    const db = transB
      ? () => gemm(dy!, a, undefined, { transA: true, transB: !!transA })
      : () => gemm(a, dy!, undefined, { transA: !transA });
    return [
      wanted[0] ? scaled(da(), alpha) : undefined,
      wanted[1] ? scaled(db(), alpha) : undefined,
      c && wanted[2] ? scaled(sumTo(dy!, c.shape), beta) : undefined,
    ];
  },
  FusedMatMul: (node, [dy], wanted) => {
    const [a, b] = node.inputs as [Value, Value];
    const { transA, transB, alpha } = node.attributes;
    const da = transA
      ? () => batchedMatMul(b, dy!, { transA: !!transB, transB: true, alpha })
      : () => batchedMatMul(dy!, b, { transB: !transB, alpha });
    const db = transB
      ? () => batchedMatMul(dy!, a, { transA: true, transB: !!transA, alpha })
      : () => batchedMatMul(a, dy!, { transA: !transA, alpha });
    return [
      wanted[0] ? sumTo(da(), a.shape) : undefined,
      wanted[1] ? sumTo(db(), b.shape) : undefined,
    ];
  },

  Conv: convRule,
  ConvTranspose: convTransposeRule,

  ReduceSum: reduction((x, _y, dy) => expand(dy, x.shape)),
  ReduceMean: reduction((x, _y, dy, count) => expand(mul(dy, 1 / count), x.shape)),
  /** Equal maxima share the gradient. */
  ReduceMax: reduction((x, y, dy) => {
    const hits = mask(equal(x, y), x);
    const axes = y.shape.flatMap((d, i) => (d === 1 && x.shape[i] !== 1 ? [i] : []));
    return axes.length ? mul(hits, div(dy, reduceSum(hits, axes, true))) : mul(hits, dy);
  }),
  ReduceSumSquare: reduction((x, _y, dy) => mul(mul(x, 2), dy)),
  Softmax: (node, [dy]) => [softmaxGradient(node.outputs[0]!, dy!, node.attributes.axis)],
  Attention: attentionRule,
  LayerNormalization: layerNormalizationRule,

  Reshape: unary((x, _y, dy) => reshape(dy, x.shape)),
  Expand: unary((x, _y, dy) => sumTo(dy, x.shape)),
  Transpose: (node, [dy]) => [transpose(dy!, inversePermutation(node.attributes.perm))],
  Concat: (node, [dy], wanted) => {
    const axis = normalAxis('Concat', node.attributes.axis, dy!.shape.length);
    let end = 0;
    return node.inputs.map((x, i) => {
      const start = end;
      end += x.shape[axis]!;
      return wanted[i] ? slice(dy!, axis, start, end) : undefined;
    });
  },
  Slice: (node, [dy]) => {
    const x = node.inputs[0]!;
    const rank = x.shape.length;
    const pads = new Array<number>(2 * rank).fill(0);
    const { starts, ends, axes } = node.attributes;
    for (const [i, a] of axes.entries()) {
      const axis = normalAxis('Slice', a, rank);
      const [start] = sliceRange(starts[i]!, ends[i]!, x.shape[axis]!);
      pads[axis] = start;
      pads[rank + axis] = x.shape[axis]! - start - dy!.shape[axis]!;
    }
    return [pad(dy!, pads)];
  },
  Split: (node, gradients) => {
    const parts = node.outputs.map(
      (y, i) => gradients[i] ?? expand(y.graph.scalar(0, y.dtype), y.shape),
    );
    return [concat(parts, node.attributes.axis)];
  },
  Pad: (node, [dy]) => {
    const x = node.inputs[0]!;
    const { pads } = node.attributes;
    return [x.shape.reduce((part, d, i) => slice(part, i, pads[i]!, pads[i]! + d), dy!)];
  },
  /** As a product with a one-hot matrix: runs on every device, and tables of classes are small. */
  Gather: (node, [dy]) => {
    const [data, indices] = node.inputs as [Value, Value];
    const { graph } = data;
    const axis = normalAxis('Gather', node.attributes.axis, data.shape.length);
    const rows = data.shape[axis]!;
    const before = sizeOf(data.shape.slice(0, axis));
    const after = sizeOf(data.shape.slice(axis + 1));
    const count = sizeOf(indices.shape);
    const numbers = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i));
    const range = graph.constant({ dtype: 'int64', shape: [rows, 1], data: numbers });
    const flat = cast(reshape(indices, [1, count]), 'int64');
    const wrapped = where(less(flat, 0), add(flat, rows), flat);
    const oneHot = cast(equal(range, wrapped), data.dtype); // [rows, count]
    const gradient = matMul(oneHot, reshape(dy!, [before, count, after])); // [before, rows, after]
    return [reshape(gradient, data.shape), undefined];
  },
};

function softmaxGradient(y: Value, dy: Value, axis: number): Value {
  const weighted = mul(dy, y);
  return sub(weighted, mul(y, reduceSum(weighted, [axis], true)));
}

/** Through the products that attention is; what they are in the middle is computed again, as the operator does not give it. */
function attentionRule(
  { inputs, attributes: { q_num_heads: heads } }: OperatorNode<'Attention'>,
  [dy]: readonly Gradient[],
): readonly Gradient[] {
  const batch = dy!.shape[0]!;
  const split = (x: Value) => splitHeads(x, batch, heads);
  const [q, k, v] = inputs.map(split) as [Value, Value, Value];
  const dMixed = split(dy!);
  const weights = attentionWeights(q, k);
  const dWeights = batchedMatMul(dMixed, v, { transB: true });
  const dScores = softmaxGradient(weights, dWeights, -1);
  const alpha = attentionScale(q);
  const joined = [
    batchedMatMul(dScores, k, { alpha }),
    batchedMatMul(dScores, q, { transA: true, alpha }),
    batchedMatMul(weights, dMixed, { transA: true }),
  ].map(joinHeads);
  return joined.map((gradient, i) => reshape(gradient, inputs[i]!.shape));
}

function isFloat(x: Value): boolean {
  return x.dtype.startsWith('float') || x.dtype === 'bfloat16';
}

/**
 * y = xhat scale + bias: with g = dy scale,
 * dx = (g - mean(g) - xhat mean(g xhat)) / deviation (Ba et al. 2016). The statistics are outputs too,
 * which gradients of gradients use: d mean / dx = 1 / n, d (1 / deviation) / dx = -xhat / (n deviation^2).
 */
function layerNormalizationRule(
  node: OperatorNode<'LayerNormalization'>,
  [dy, dMean, dInverse]: readonly Gradient[],
  wanted: Wanted,
): readonly Gradient[] {
  const [x, scale, bias] = node.inputs as [Value, Value, Value | undefined];
  const [y, mean, inverse] = node.outputs as [Value, Value, Value];
  const perElement = 1 / x.shape.at(-1)!;
  const unit = isOnes(scale) && !bias;
  const xhat = unit ? y : mul(sub(x, mean), inverse);
  const dx: Value[] = [];
  if (dy) {
    const g = unit ? dy : mul(dy, scale);
    const centred = sub(
      sub(g, reduceMean(g, [-1], true)),
      mul(xhat, reduceMean(mul(g, xhat), [-1], true)),
    );
    dx.push(mul(centred, inverse));
  }
  if (dMean) dx.push(expand(mul(dMean, perElement), x.shape));
  if (dInverse) dx.push(mul(xhat, mul(mul(dInverse, square(inverse)), -perElement)));
  return [
    wanted[0] ? dx.reduce((a, b) => add(a, b)) : undefined,
    dy && wanted[1] ? sumTo(mul(dy, xhat), scale.shape) : undefined,
    dy && bias && wanted[2] ? sumTo(dy, bias.shape) : undefined,
  ];
}

function isOnes(x: Value): boolean {
  return (
    x.node.kind === 'constant' && x.node.tensor.data.every((v: number | bigint) => Number(v) === 1)
  );
}
