/** @file How ONNX's activations, its attention and a few norms are decoded: each is made of operators that have a gradient. */
import type { Value } from './graph.ts';
import type { NodeReader } from './onnx-node.ts';
import {
  abs,
  add,
  batchedMatMul,
  div,
  exp,
  greater,
  log,
  max,
  min,
  mul,
  neg,
  reduceSum,
  reduceSumSquare,
  reshape,
  softmax,
  sqrt,
  sub,
  tanh,
  transpose,
  where,
} from './ops.ts';
import { normalAxis } from './shapes.ts';

type Form = (node: NodeReader) => readonly Value[];

const unary =
  (f: (x: Value, node: NodeReader) => Value): Form =>
  (node) => [f(node.value(0), node)];

/** log(1 + e^x), without overflow. */
const softplus = (x: Value) => add(max(x, 0), log(add(exp(neg(abs(x))), 1)));

/** x where it is positive, else `f` of its negative part. */
const below = (x: Value, f: (negative: Value) => Value) => where(greater(x, 0), x, f(min(x, 0)));

const hardSigmoid = (x: Value, alpha: number, beta: number) =>
  max(min(add(mul(x, alpha), beta), 1), 0);

function logSoftmax(x: Value, node: NodeReader): Value {
  const axis = normalAxis('LogSoftmax', node.int('axis', -1), x.shape.length);
  const top = x.graph.apply('ReduceMax', [x], { axes: [axis], keepdims: 1 })[0]!;
  const centred = sub(x, top);
  return sub(centred, log(reduceSum(exp(centred), [axis], true)));
}

/** Axes given as an attribute (older operator sets) or as an input; all when there are none. */
function reducedAxes(node: NodeReader): { axes: number[]; keep: boolean } {
  const x = node.value(0);
  const given = node.ints('axes') ?? node.constants(1) ?? [];
  if (given.length === 0 && node.int('noop_with_empty_axes', 0)) {
    throw node.unsupported('reduces no axis', 'export the model without it');
  }
  const axes = given.length > 0 ? given : x.shape.map((_, i) => i);
  return {
    axes: axes.map((a) => normalAxis(node.operator, a, x.shape.length)),
    keep: node.int('keepdims', 1) === 1,
  };
}

function norm(node: NodeReader): readonly Value[] {
  const { axes, keep } = reducedAxes(node);
  return [sqrt(reduceSumSquare(node.value(0), axes, keep))];
}

function least(node: NodeReader): readonly Value[] {
  const { axes, keep } = reducedAxes(node);
  const x = neg(node.value(0));
  return [neg(x.graph.apply('ReduceMax', [x], { axes, keepdims: keep ? 1 : 0 })[0]!)];
}

const ATTENTION_HINT = 'export the model with operator set 22 or older, which writes its parts';

/** Scaled dot-product attention of operator set 23, with an added mask at most. */
function attended(node: NodeReader): readonly Value[] {
  const [query, key, value] = [node.value(0), node.value(1), node.value(2)];
  node.int('softmax_precision', 1);
  const softcap = node.float('softcap', 0);
  if (node.int('is_causal', 0) || softcap !== 0 || node.int('qk_matmul_output_mode', 0)) {
    throw node.unsupported('is causal, capped or gives its products', ATTENTION_HINT);
  }
  if (node.inputCount > 4) throw node.unsupported('has a cache', ATTENTION_HINT);
  const isFlat = query.shape.length === 3;
  const queryHeads = isFlat ? node.int('q_num_heads') : query.shape[1]!;
  const keyHeads = isFlat ? node.int('kv_num_heads') : key.shape[1]!;
  if (queryHeads !== keyHeads) {
    throw node.unsupported(
      `has ${queryHeads} heads of queries and ${keyHeads} of keys`,
      ATTENTION_HINT,
    );
  }
  const toHeads = (x: Value) => {
    if (!isFlat) return x;
    const [batch, rows, width] = x.shape as [number, number, number];
    return transpose(reshape(x, [batch, rows, queryHeads, width / queryHeads]), [0, 2, 1, 3]);
  };
  const q = toHeads(query);
  const alpha = node.float('scale', 1 / Math.sqrt(q.shape.at(-1)!));
  const scores = batchedMatMul(q, toHeads(key), { transB: true, alpha });
  const mask = node.optional(3);
  if (mask?.dtype === 'bool') throw node.unsupported('has a mask of truth values', ATTENTION_HINT);
  const mixed = batchedMatMul(softmax(mask ? add(scores, mask) : scores), toHeads(value));
  if (!isFlat) return [mixed];
  const rows = transpose(mixed, [0, 2, 1, 3]);
  const [batch, count, heads, depth] = rows.shape as [number, number, number, number];
  return [reshape(rows, [batch, count, heads * depth])];
}

export const ACTIVATION_FORMS: Readonly<Record<string, Form>> = {
  LeakyRelu: unary((x, node) => {
    const alpha = node.float('alpha', 0.01);
    return below(x, (negative) => mul(negative, alpha));
  }),
  PRelu: (node) => [below(node.value(0), (negative) => mul(negative, node.value(1)))],
  Elu: unary((x, node) => {
    const alpha = node.float('alpha', 1);
    return below(x, (negative) => mul(sub(exp(negative), 1), alpha));
  }),
  Softplus: unary(softplus),
  Mish: unary((x) => mul(x, tanh(softplus(x)))),
  Swish: unary((x, node) => x.graph.apply('QuickGelu', [x], { alpha: node.float('alpha', 1) })[0]!),
  HardSigmoid: unary((x, node) =>
    hardSigmoid(x, node.float('alpha', 0.2), node.float('beta', 0.5)),
  ),
  HardSwish: unary((x) => mul(x, hardSigmoid(x, 1 / 6, 0.5))),
  Softsign: unary((x) => div(x, add(abs(x), 1))),
  LogSoftmax: unary(logSoftmax),
  ReduceL2: norm,
  ReduceMin: least,
  Mean: (node) => {
    const values = node.values();
    if (values.length === 0) throw node.malformed('has no inputs');
    return [
      mul(
        values.reduce((a, b) => add(a, b)),
        1 / values.length,
      ),
    ];
  },
  Attention: attended,
};
