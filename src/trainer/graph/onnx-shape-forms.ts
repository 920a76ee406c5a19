/** @file How ONNX's operators on shapes and positions are decoded; exporters compute the sizes of dynamic axes with them. */
import { sizeOf } from '../tensor.ts';
import type { Value } from './graph.ts';
import type { NodeReader } from './onnx-node.ts';
import { sliceRange } from './operators.ts';
import {
  add,
  cast,
  concat,
  equal,
  expand,
  gather,
  lessOrEqual,
  mul,
  reshape,
  transpose,
} from './ops.ts';
import { normalAxis } from './shapes.ts';

type Form = (node: NodeReader) => readonly Value[];

/** Elements of a range or one-hot table beyond which a file is taken for damaged. */
const MAX_ELEMENTS = 1 << 22;

function integers(node: NodeReader, values: readonly number[], shape = [values.length]): Value {
  return node.graph.constant({ dtype: 'int64', shape, data: BigInt64Array.from(values, BigInt) });
}

function shapeOf(node: NodeReader): readonly Value[] {
  const { shape } = node.value(0);
  const from = node.int('start', 0);
  const to = node.int('end', shape.length);
  return [integers(node, shape.slice(from, to))];
}

function filledWith(node: NodeReader): readonly Value[] {
  const shape = node.constants(0);
  if (!shape) throw node.malformed('lacks its shape');
  if (shape.some((d) => d < 0) || !Number.isSafeInteger(sizeOf(shape))) {
    throw node.malformed(`has the shape [${shape.join(', ')}]`);
  }
  const value = node.constantTensor('value') ?? node.graph.scalar(0, node.typeOf('float32'));
  return [expand(reshape(value, []), shape)];
}

function range(node: NodeReader): readonly Value[] {
  const [from, to, step] = [0, 1, 2].map((i) => node.constants(i)?.[0]);
  if (from === undefined || to === undefined || !step) throw node.malformed('lacks its bounds');
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= MAX_ELEMENTS)) throw node.malformed(`makes ${count} elements`);
  const values = Array.from({ length: count }, (_, i) => from + i * step);
  const { dtype } = node.value(0);
  if (/float/.test(dtype)) {
    const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
    const type = dtype === 'float64' ? 'float64' : 'float32';
    return [cast(node.graph.constant({ dtype: type, shape: [count], data }), dtype)];
  }
  return [cast(integers(node, values), dtype)];
}

function tiled(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const repeats = node.constants(1);
  if (!repeats || repeats.length !== x.shape.length) throw node.malformed('lacks its repeats');
  if (repeats.some((r) => r < 0)) throw node.malformed(`repeats ${repeats.join(', ')} times`);
  const apart = x.shape.flatMap((d) => [1, d]);
  const wide = x.shape.flatMap((d, i) => [repeats[i]!, d]);
  const to = x.shape.map((d, i) => d * repeats[i]!);
  return [reshape(expand(reshape(x, apart), wide), to)];
}

function oneHot(node: NodeReader): readonly Value[] {
  const indices = node.value(0);
  const depth = node.constants(1)?.[0];
  const values = node.constants(2);
  if (depth === undefined || values?.length !== 2) throw node.malformed('lacks depth or values');
  const rank = indices.shape.length + 1;
  const axis = normalAxis('OneHot', node.int('axis', -1), rank);
  if (axis !== rank - 1 || !(depth <= MAX_ELEMENTS)) {
    throw node.unsupported(`puts ${depth} classes on axis ${axis}`, 'put them on the last axis');
  }
  const classes = cast(integers(node, [...Array(depth).keys()]), indices.dtype);
  const { dtype } = node.value(2);
  const hot = cast(equal(reshape(indices, [...indices.shape, 1]), classes), dtype);
  const [off, on] = values as [number, number];
  return [off === 0 && on === 1 ? hot : add(mul(hot, on - off), off)];
}

function depthToSpace(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const block = node.int('blocksize');
  const [batch, depth, height, width] = fourAxes(node, x);
  const channels = depth / block ** 2;
  if (!Number.isInteger(channels)) throw node.malformed(`has ${depth} channels`);
  const columnsFirst = node.string('mode', 'DCR') === 'CRD';
  const apart = columnsFirst ? [channels, block, block] : [block, block, channels];
  const order = columnsFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  const squares = transpose(reshape(x, [batch, ...apart, height, width]), order);
  return [reshape(squares, [batch, channels, height * block, width * block])];
}

function spaceToDepth(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const block = node.int('blocksize');
  const [batch, channels, height, width] = fourAxes(node, x);
  const [rows, columns] = [height / block, width / block];
  if (!Number.isInteger(rows) || !Number.isInteger(columns)) {
    throw node.malformed(`does not divide ${height} x ${width}`);
  }
  const apart = reshape(x, [batch, channels, rows, block, columns, block]);
  const shape = [batch, channels * block ** 2, rows, columns];
  return [reshape(transpose(apart, [0, 3, 5, 1, 2, 4]), shape)];
}

function fourAxes(node: NodeReader, { shape }: Value): readonly [number, number, number, number] {
  if (shape.length !== 4) throw node.malformed(`has an input of ${shape.length} axes, not four`);
  return shape as [number, number, number, number];
}

function sliced(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const starts = node.constants(1);
  const ends = node.constants(2);
  if (!starts || !ends) throw node.malformed('lacks its ends');
  const axes = node.constants(3) ?? starts.map((_, i) => i);
  const steps = node.constants(4) ?? [];
  if (ends.length !== starts.length || axes.length !== starts.length) {
    throw node.malformed('has starts, ends and axes of different lengths');
  }
  if (steps.some((s) => s !== 1)) {
    return [stepped(node, x, { starts, ends, axes, steps })];
  }
  const ranges = axes.map((a, i) =>
    sliceRange(starts[i]!, ends[i]!, x.shape[normalAxis('Slice', a, x.shape.length)]!),
  );
  return node.graph.apply('Slice', [x], {
    starts: ranges.map(([from]) => from),
    ends: ranges.map(([from, to]) => Math.max(from, to)),
    axes,
  });
}

interface Steps {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

/** A slice by other steps than 1 picks its elements by their numbers. */
function stepped(node: NodeReader, x: Value, { starts, ends, axes, steps }: Steps): Value {
  return axes.reduce((v, given, i) => {
    const axis = normalAxis('Slice', given, x.shape.length);
    const size = x.shape[axis]!;
    const step = steps[i] ?? 1;
    if (!Number.isInteger(step) || step === 0) throw node.malformed(`has the step ${step}`);
    const place = (at: number, low: number, high: number) =>
      Math.min(Math.max(at < 0 ? at + size : at, low), high);
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const picked: number[] = [];
    const [from, to] = [place(starts[i]!, low, high), place(ends[i]!, low, high)];
    for (let at = from; step > 0 ? at < to : at > to; at += step) picked.push(at);
    const data = BigInt64Array.from(picked, BigInt);
    return gather(v, v.graph.constant({ dtype: 'int64', shape: [data.length], data }), axis);
  }, x);
}

/** An operator without a row of its own, of values that only constants decide. */
const ofConstants =
  (f: (a: number, b: number) => number, isTruth = false): Form =>
  (node) => {
    const a = node.value(0);
    const b = node.optional(1);
    const numbers = [node.constants(0)!, b ? node.constants(1)! : []];
    const single = (i: number) => numbers[i]!.length === 1;
    const shape = single(0) && b ? b.shape : a.shape;
    if (b && !single(0) && !single(1) && numbers[0]!.length !== numbers[1]!.length) {
      throw node.unsupported('joins constants of different shapes', 'fold the constants');
    }
    const at = (i: number, k: number) => numbers[i]![single(i) ? 0 : k] ?? 0;
    const values = Array.from({ length: sizeOf(shape) }, (_, k) => f(at(0, k), at(1, k)));
    if (isTruth) return [cast(integers(node, values, [...shape]), 'bool')];
    if (!/float/.test(a.dtype)) return [cast(integers(node, values, [...shape]), a.dtype)];
    const tensor = { dtype: 'float64', shape, data: Float64Array.from(values) } as const;
    return [cast(node.graph.constant(tensor), a.dtype)];
  };

const truth = (f: (a: number, b: number) => boolean): Form =>
  ofConstants((a, b) => Number(f(a, b)), true);

export const SHAPE_FORMS: Readonly<Record<string, Form>> = {
  Shape: shapeOf,
  Size: (node) => [integers(node, [sizeOf(node.value(0).shape)], [])],
  ConstantOfShape: filledWith,
  Range: range,
  Slice: sliced,
  Tile: tiled,
  OneHot: oneHot,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Concat: (node) => {
    const values = node.values();
    if (values.length === 0) throw node.malformed('has no inputs');
    return [concat(values, node.int('axis'))];
  },
  CastLike: (node) => [cast(node.value(0), node.value(1).dtype)],
  GreaterOrEqual: (node) => [lessOrEqual(node.value(1), node.value(0))],
  Floor: ofConstants(Math.floor),
  Ceil: ofConstants(Math.ceil),
  Mod: ofConstants((a, b) => a - b * Math.floor(a / b)),
  Not: truth((a) => a === 0),
  And: truth((a, b) => a !== 0 && b !== 0),
  Or: truth((a, b) => a !== 0 || b !== 0),
};
