/** @file How ONNX's operators of convolutional networks are decoded: those of windows, normalisation, pooling and resizing. */
import type { Shape } from '../tensor.ts';
import {
  averagePool,
  globalAveragePool,
  groupNormalization,
  type PadMode,
  padded,
  repeatNearest,
  rmsNormalization,
} from './composed.ts';
import type { Value } from './graph.ts';
import type { NodeReader } from './onnx-node.ts';
import {
  add,
  convolution,
  mul,
  reciprocal,
  reshape,
  sqrt,
  sub,
  transposedConvolution,
} from './ops.ts';
import { normalAxis } from './shapes.ts';
import { convolvedSizes, plainWindow, reach, type Window } from './windows.ts';

type Form = (node: NodeReader) => readonly Value[];

const WINDOW_HINT = 'export the model with explicit pads';

/** The first input, which must be [N, C, ...] with at least `axes` axes after these. */
function channelled(node: NodeReader, axes: number): Value {
  const x = node.value(0);
  if (x.shape.length >= 2 + axes) return x;
  throw node.malformed(`has an input of ${x.shape.length} axes, fewer than ${2 + axes}`);
}

/** Strides, dilations, groups and pads, `auto_pad` resolved, of a node whose window has the size `kernel`. */
function windowOf(node: NodeReader, sizes: Shape, kernel: Shape): Window {
  const rank = sizes.length;
  const plain = plainWindow(rank);
  const stated = node.ints('kernel_shape');
  if (stated && stated.join() !== kernel.join()) {
    throw node.malformed(`states a kernel of ${stated.join('x')}, not ${kernel.join('x')}`);
  }
  const strides = node.ints('strides') ?? plain.strides;
  const dilations = node.ints('dilations') ?? plain.dilations;
  const given = node.ints('pads');
  const auto = node.string('auto_pad', 'NOTSET');
  const window = { ...plain, strides, dilations, group: node.int('group', 1) };
  if (auto === 'NOTSET') return { ...window, pads: given ?? plain.pads };
  if (auto === 'VALID') return window;
  if (auto !== 'SAME_UPPER' && auto !== 'SAME_LOWER') throw node.malformed(`has auto_pad ${auto}`);
  const totals = sizes.map((size, i) => {
    const steps = Math.ceil(size / strides[i]!) - 1;
    return Math.max(0, steps * strides[i]! + reach(kernel[i]!, dilations[i]!) - size);
  });
  const less = totals.map((total) => Math.floor(total / 2));
  const more = totals.map((total) => Math.ceil(total / 2));
  return { ...window, pads: auto === 'SAME_UPPER' ? [...less, ...more] : [...more, ...less] };
}

function convolved(node: NodeReader): readonly Value[] {
  const [x, weight] = [channelled(node, 1), node.value(1)];
  const window = windowOf(node, x.shape.slice(2), weight.shape.slice(2));
  return [convolution(x, weight, node.optional(2), window)];
}

function transposeConvolved(node: NodeReader): readonly Value[] {
  const [x, weight] = [channelled(node, 1), node.value(1)];
  if (node.string('auto_pad', 'NOTSET') !== 'NOTSET' || node.has('output_shape')) {
    throw node.unsupported('finds its padding by the size of its result', WINDOW_HINT);
  }
  const sizes = x.shape.slice(2);
  const window = windowOf(node, sizes, weight.shape.slice(2));
  const output_padding = node.ints('output_padding') ?? sizes.map(() => 0);
  return [transposedConvolution(x, weight, node.optional(2), { ...window, output_padding })];
}

function pooled(node: NodeReader): readonly Value[] {
  const x = channelled(node, 1);
  const kernel = node.ints('kernel_shape');
  if (!kernel || kernel.length !== x.shape.length - 2) {
    throw node.malformed('lacks a kernel_shape that fits its input');
  }
  const sizes = x.shape.slice(2);
  const window = windowOf(node, sizes, kernel);
  const whole = sizes.every((size, i) => {
    const pads = window.pads[i]! + window.pads[i + sizes.length]!;
    const room = size + pads - reach(kernel[i]!, window.dilations[i]!);
    return room % window.strides[i]! === 0;
  });
  if (node.int('ceil_mode', 0) && !whole) {
    throw node.unsupported('has windows that reach beyond the padding', 'use ceil_mode 0');
  }
  if (convolvedSizes(sizes, kernel, window).some((size) => size < 1)) {
    throw node.malformed('has a kernel larger than its input');
  }
  const countsPadding = node.int('count_include_pad', 0) === 1;
  return [averagePool(x, { ...window, kernel, countsPadding })];
}

/** Scale and bias are by channel since operator set 21, by group before. */
function groupNormalised(node: NodeReader): readonly Value[] {
  const x = channelled(node, 0);
  node.int('stash_type', 1);
  const groups = node.int('num_groups');
  const channels = x.shape[1]!;
  const byChannel = (v: Value) => {
    if (v.shape[0] === channels) return v;
    throw node.unsupported(
      `has ${v.shape[0]} scales for ${channels} channels`,
      'export the model with operator set 21 or newer',
    );
  };
  const [scale, bias] = [byChannel(node.value(1)), byChannel(node.value(2))];
  return [groupNormalization(x, groups, scale, bias, node.float('epsilon', 1e-5))];
}

function instanceNormalised(node: NodeReader): readonly Value[] {
  const [x, scale, bias] = [channelled(node, 1), node.value(1), node.value(2)];
  return [groupNormalization(x, x.shape[1]!, scale, bias, node.float('epsilon', 1e-5))];
}

function rmsNormalised(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  node.int('stash_type', 1);
  const axis = normalAxis(node.operator, node.int('axis', -1), x.shape.length);
  if (axis !== x.shape.length - 1) {
    throw node.unsupported(`normalises from axis ${axis}`, 'only the last axis is normalised');
  }
  return [rmsNormalization(x, node.value(1), node.float('epsilon', 1e-5))];
}

const RESIZE_HINT = 'only nearest enlargement of pictures by whole factors is supported';

/** Enlargement of [N, C, ...] by whole factors, where every mode of rounding gives the same. */
function resized(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const mode = node.string('mode', 'nearest');
  const rounding = node.string('nearest_mode', 'round_prefer_floor');
  const place = node.string('coordinate_transformation_mode', 'half_pixel');
  // What only other modes use, as exporters write it all the same.
  node.float('cubic_coeff_a', -0.75);
  node.float('extrapolation_value', 0);
  node.int('exclude_outside', 0);
  const policy = node.string('keep_aspect_ratio_policy', 'stretch');
  const isPlain = node.int('antialias', 0) === 0 && policy === 'stretch' && !node.has('axes');
  const scales = node.optional(2) ? node.constants(2)! : [];
  const sizes = node.optional(3) ? node.constants(3)! : [];
  const factors = scales.length ? scales : sizes.map((size, i) => size / x.shape[i]!);
  const repeats =
    (place === 'asymmetric' && rounding === 'floor') ||
    (place === 'half_pixel' && rounding.startsWith('round'));
  const whole = factors.every((f) => Number.isInteger(f) && f >= 1);
  const spatial = factors.length === x.shape.length && factors[0] === 1 && factors[1] === 1;
  if (mode !== 'nearest' || !isPlain || !repeats || !whole || !spatial || x.shape.length < 3) {
    throw node.unsupported(
      `resizes by ${factors.join(', ')} with mode ${mode}, ${place}, ${rounding}`,
      RESIZE_HINT,
    );
  }
  return [repeatNearest(x, factors.slice(2))];
}

const PAD_MODES: readonly string[] = ['constant', 'reflect', 'edge', 'wrap'] satisfies PadMode[];

function paddedAround(node: NodeReader): readonly Value[] {
  const x = node.value(0);
  const rank = x.shape.length;
  const given = node.constants(1);
  if (!given) throw node.malformed('lacks its pads');
  const mode = node.string('mode', 'constant');
  const fill = node.constants(2)?.[0] ?? 0;
  if (!PAD_MODES.includes(mode) || fill !== 0 || given.some((p) => p < 0)) {
    throw node.unsupported(
      `pads with mode ${mode}, value ${fill}, counts ${given.join(', ')}`,
      'only zeros, or elements of the data by reflect, edge or wrap, can be added around it',
    );
  }
  const axes = (node.constants(3) ?? x.shape.map((_, i) => i)).map((a) =>
    normalAxis('Pad', a, rank),
  );
  if (given.length !== 2 * axes.length) throw node.malformed('has pads that do not fit its axes');
  const pads = new Array<number>(2 * rank).fill(0);
  for (const [i, axis] of axes.entries()) {
    pads[axis] = given[i]!;
    pads[rank + axis] = given[axes.length + i]!;
  }
  return [padded(x, pads, mode as PadMode)];
}

function batchNormalised(node: NodeReader): readonly Value[] {
  const x = channelled(node, 0);
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => node.value(i)) as Four;
  if (node.int('training_mode', 0)) {
    throw node.unsupported('is in training mode', 'export the model after model.eval()');
  }
  node.float('momentum', 0.9);
  const shape = [x.shape[1]!, ...x.shape.slice(2).map(() => 1)];
  const column = (v: Value) => reshape(v, shape);
  const inverse = reciprocal(sqrt(add(variance, node.float('epsilon', 1e-5))));
  const factor = mul(scale, inverse);
  return [add(mul(x, column(factor)), column(sub(bias, mul(mean, factor))))];
}

type Four = [Value, Value, Value, Value];

export const PICTURE_FORMS: Readonly<Record<string, Form>> = {
  Conv: convolved,
  ConvTranspose: transposeConvolved,
  AveragePool: pooled,
  GlobalAveragePool: (node) => [globalAveragePool(channelled(node, 1))],
  GroupNormalization: groupNormalised,
  InstanceNormalization: instanceNormalised,
  BatchNormalization: batchNormalised,
  RMSNormalization: rmsNormalised,
  Resize: resized,
  Pad: paddedAround,
};
