/**
 * @file ONNX operators whose form is not that of our row, and those that we write with others. The
 * rest is decoded by the rows themselves (`byRow`).
 */
import type { DType, Shape } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { filled, type Value } from './graph.ts';
import { ACTIVATION_FORMS } from './onnx-activation-forms.ts';
import { MICROSOFT_DOMAIN } from './onnx-format.ts';
import { type NodeReader, plainDomain } from './onnx-node.ts';
import { PICTURE_FORMS } from './onnx-picture-forms.ts';
import { SHAPE_FORMS } from './onnx-shape-forms.ts';
import type { NodeMessage } from './onnx-tensors.ts';
import { type AttributeSpec, OPERATORS, type OperatorName, operatorRow } from './operators.ts';
import { add, cast, greater, matMul, max, min, mul, reshape, transpose, where } from './ops.ts';
import { normalAxis } from './shapes.ts';

export type Form = (node: NodeReader) => readonly Value[];

const STATIC_HINT = 'rewrite this part of the model with supported operators';

/** The form of an operator that is written as our row says; undefined when we have no such row. */
function byRow(operator: string, domain: string): Form | undefined {
  if (!Object.hasOwn(OPERATORS, operator)) return undefined;
  const name = operator as OperatorName;
  const row = operatorRow(name);
  if ((row.domain ?? '') !== domain) return undefined;
  return (node) => {
    const specs = Object.entries(row.attributes);
    const constants = new Set(specs.map(([, spec]) => spec.input));
    const attributes = Object.fromEntries(
      specs.map(([key, spec]) => [key, attributeOf(node, key, spec)]),
    );
    const inputs: Value[] = [];
    for (let i = 0; i < node.inputCount; i++) if (!constants.has(i)) inputs.push(node.value(i));
    const [fewest, most] = row.arity;
    if (inputs.length < fewest || inputs.length > most) {
      throw node.malformed(`has ${inputs.length} inputs`);
    }
    return node.graph.apply(name, inputs, attributes as never);
  };
}

function attributeOf(node: NodeReader, name: string, spec: AttributeSpec): unknown {
  if (spec.input !== undefined) {
    const numbers = node.constants(spec.input);
    if (!numbers) throw node.malformed(`lacks input ${spec.input + 1}`);
    return numbers;
  }
  switch (spec.kind) {
    case 'int':
      return node.int(name, spec.default as number | undefined);
    case 'float':
      return node.float(name, spec.default as number | undefined);
    case 'string':
      return node.string(name, spec.default as string | undefined);
    case 'dtype':
      return node.dtype(name);
    case 'ints': {
      const found = node.ints(name) ?? spec.default;
      if (!found) throw node.malformed(`lacks the attribute ${name}`);
      return found;
    }
  }
}

/** Axes given as an attribute (older operator sets) or as an input. */
const axesOf = (node: NodeReader) => node.ints('axes') ?? node.constants(1);

const sorted = (node: NodeReader, axes: readonly number[], rank: number) =>
  axes.map((a) => normalAxis(node.operator, a, rank)).sort((a, b) => a - b);

type Reduction = 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceSumSquare';

const reduction =
  (operator: Reduction): Form =>
  (node) => {
    const x = node.value(0);
    const given = axesOf(node) ?? [];
    const noop = node.int('noop_with_empty_axes', 0);
    if (given.length === 0 && noop) return [operator === 'ReduceSumSquare' ? mul(x, x) : x];
    const axes = given.length ? given : x.shape.map((_, i) => i);
    return node.graph.apply(operator, [x], { axes, keepdims: node.int('keepdims', 1) ? 1 : 0 });
  };

/** Min, Max or Sum of any number of inputs. */
const folded =
  (join: (a: Value, b: Value) => Value): Form =>
  (node) => {
    const values = node.values();
    if (values.length === 0) throw node.malformed('has no inputs');
    return [values.reduce((a, b) => join(a, b))];
  };

function resolvedShape(node: NodeReader, x: Value): Shape {
  const shape = node.constants(1);
  if (!shape) throw node.malformed('lacks its shape');
  if (node.int('allowzero', 0)) return shape;
  // A 0 keeps the size of that axis.
  return shape.map((d, i) => (d === 0 ? (x.shape[i] ?? 0) : d));
}

function squeezed(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const axes = axesOf(node);
  const dropped = axes
    ? sorted(node, axes, x.shape.length)
    : x.shape.flatMap((d, i) => (d === 1 ? [i] : []));
  if (dropped.some((a) => x.shape[a] !== 1)) throw node.malformed('drops an axis longer than 1');
  return [
    reshape(
      x,
      x.shape.filter((_, i) => !dropped.includes(i)),
    ),
  ];
}

function unsqueezed(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const axes = axesOf(node);
  if (!axes) throw node.malformed('lacks its axes');
  const shape = [...x.shape];
  const added = sorted(node, axes, x.shape.length + axes.length);
  if (new Set(added).size !== added.length) throw node.malformed('adds an axis twice');
  for (const axis of added) shape.splice(axis, 0, 1);
  return [reshape(x, shape)];
}

function flattened(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const axis = node.int('axis', 1);
  const at = axis === x.shape.length ? axis : normalAxis('Flatten', axis, x.shape.length);
  return [reshape(x, [sizeOf(x.shape.slice(0, at)), sizeOf(x.shape.slice(at))])];
}

function divided(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const axis = node.int('axis', 0);
  const size = x.shape[normalAxis('Split', axis, x.shape.length)]!;
  const parts = node.int('num_outputs', node.outputNames.length);
  if (parts !== node.outputNames.length) throw node.malformed(`has not ${parts} outputs`);
  const each = Math.ceil(size / parts);
  const equal = Array.from({ length: parts }, (_, i) => Math.min(each, size - i * each));
  return node.graph.apply('Split', [x], { axis, split: node.constants(1) ?? equal });
}

/** A factor of one axis is a row on the left and a column on the right; the axis is dropped again. */
function multiplied(node: NodeReader): readonly Value[] {
  const [a, b] = [node.value(0), node.value(1)];
  const row = a.shape.length === 1;
  const column = b.shape.length === 1;
  const product = matMul(
    row ? reshape(a, [1, ...a.shape]) : a,
    column ? reshape(b, [...b.shape, 1]) : b,
  );
  const shape = product.shape.filter((_, i, { length }) => {
    return !(row && i === length - 2) && !(column && i === length - 1);
  });
  return [reshape(product, shape)];
}

function clipped(node: NodeReader): readonly Value[] {
  const [low, high] = [node.optional(1), node.optional(2)];
  const floored = low ? max(node.value(0), low) : node.value(0);
  return [high ? min(floored, high) : floored];
}

function dropout(node: NodeReader): readonly Value[] {
  node.int('seed', 0);
  if (node.constants(2)?.[0]) {
    throw node.unsupported('is in training mode', 'export the model after model.eval()');
  }
  return [node.value(0)];
}

function constant(node: NodeReader): readonly Value[] {
  const of = (type: DType, numbers: readonly number[], shape: Shape) => {
    const dtype = node.typeOf(type);
    const data = filled(dtype, numbers.length, 0);
    for (const [i, n] of numbers.entries()) data[i] = dtype === 'int64' ? BigInt(n) : n;
    return [node.graph.constant({ dtype, shape, data })];
  };
  const floats = node.floats('value_floats');
  if (floats) return of('float32', floats, [floats.length]);
  const ints = node.ints('value_ints');
  if (ints) return of('int64', ints, [ints.length]);
  if (node.has('value_float')) return of('float32', [node.float('value_float')], []);
  if (node.has('value_int')) return of('int64', [node.int('value_int')], []);
  throw node.unsupported('holds no dense tensor of numbers', STATIC_HINT);
}

/** By operator of ONNX's own domain, then of ONNX Runtime's. */
const FORMS: Readonly<Record<string, Readonly<Record<string, Form>>>> = {
  '': {
    ...PICTURE_FORMS,
    ...SHAPE_FORMS,
    ...ACTIVATION_FORMS,
    Identity: (node) => [node.value(0)],
    Dropout: dropout,
    Constant: constant,
    ReduceSum: reduction('ReduceSum'),
    ReduceMean: reduction('ReduceMean'),
    ReduceMax: reduction('ReduceMax'),
    ReduceSumSquare: reduction('ReduceSumSquare'),
    Reshape: (node) => [reshape(node.value(0), resolvedShape(node, node.value(0)))],
    Squeeze: squeezed,
    Unsqueeze: unsqueezed,
    Flatten: flattened,
    Split: divided,
    MatMul: multiplied,
    Clip: clipped,
    Sum: folded(add),
    Min: folded(min),
    Max: folded(max),
    Transpose: (node) => {
      const x = node.value(0);
      return [transpose(x, node.ints('perm') ?? [...x.shape.keys()].reverse())];
    },
    /** The exponent may be of another type. */
    Pow: (node) => {
      const base = node.value(0);
      return node.graph.apply('Pow', [base, cast(node.value(1), base.dtype)], {});
    },
    Relu: (node) => {
      const x = node.value(0);
      return [where(greater(x, 0), x, node.graph.scalar(0, x.dtype))];
    },
  },
  [MICROSOFT_DOMAIN]: {
    Gelu: (node) => node.graph.apply('Gelu', [node.value(0)], { approximate: 'none' }),
  },
};

/** How nodes of an operator are decoded; undefined when they are not. */
export function formOf({
  opType,
  domain,
}: Pick<NodeMessage, 'opType' | 'domain'>): Form | undefined {
  const name = plainDomain(domain);
  const forms = Object.hasOwn(FORMS, name) ? FORMS[name]! : {};
  return (Object.hasOwn(forms, opType) ? forms[opType] : undefined) ?? byRow(opType, name);
}
