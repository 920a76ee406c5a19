/** @file Windows that slide over the spatial axes of [N, C, ...spatial]: their attributes as ONNX has them, and the shapes they give. */
import type { Shape } from '../tensor.ts';
import { sameShape } from '../tensor.ts';
import { formatShape, shapeError, type TensorType } from './shapes.ts';

/** One number per spatial axis, `pads` first those before each axis, then those after. */
export interface Window {
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
  readonly group: number;
}

export interface TransposedWindow extends Window {
  /** Elements added at the end of each axis, where several sizes would give the same input. */
  readonly output_padding: readonly number[];
}

/** Elements between the first and last that a window reads, both included. */
export const reach = (kernel: number, dilation: number): number => dilation * (kernel - 1) + 1;

/** The window that moves by one and neither pads nor spreads, over `rank` spatial axes. */
export function plainWindow(rank: number): Window {
  const all = (value: number, count = rank) => new Array<number>(count).fill(value);
  return { strides: all(1), pads: all(0, 2 * rank), dilations: all(1), group: 1 };
}

/** Spatial sizes that a convolution gives. */
export function convolvedSizes(sizes: Shape, kernel: Shape, window: Window): number[] {
  const { strides, pads, dilations } = window;
  return sizes.map((size, i) => {
    const room = size + pads[i]! + pads[sizes.length + i]! - reach(kernel[i]!, dilations[i]!);
    return Math.floor(room / strides[i]!) + 1;
  });
}

/** Shape of Conv: x [N, C, ...], weight [K, C / group, ...kernel], bias [K] -> [N, K, ...]. */
export function convolutionType(
  [x, weight, bias]: readonly TensorType[],
  window: Window,
): TensorType {
  checkWindow('Conv', x!, weight!, window);
  const [filters, depth, ...kernel] = weight!.shape as [number, number, ...number[]];
  const [batch, channels, ...sizes] = x!.shape as [number, number, ...number[]];
  if (depth * window.group !== channels || filters % window.group !== 0) {
    throw misfit('Conv', x!, weight!, window);
  }
  checkBias('Conv', bias, filters);
  return result('Conv', x!, [batch, filters, ...convolvedSizes(sizes, kernel, window)]);
}

/** Shape of ConvTranspose: x [N, C, ...], weight [C, K / group, ...kernel], bias [K] -> [N, K, ...]. */
export function transposedConvolutionType(
  [x, weight, bias]: readonly TensorType[],
  window: TransposedWindow,
): TensorType {
  checkWindow('ConvTranspose', x!, weight!, window);
  const [depth, filters, ...kernel] = weight!.shape as [number, number, ...number[]];
  const [batch, channels, ...sizes] = x!.shape as [number, number, ...number[]];
  const { group, strides, pads, dilations, output_padding: more } = window;
  if (depth !== channels || channels % group !== 0) {
    throw misfit('ConvTranspose', x!, weight!, window);
  }
  // From a stride on, a convolution back would give another size than x has.
  if (more.length !== sizes.length || more.some((m, i) => m < 0 || m >= strides[i]!)) {
    throw shapeError('ConvTranspose', `output_padding ${formatShape(more)} does not fit`);
  }
  checkBias('ConvTranspose', bias, filters * group);
  const spatial = sizes.map((size, i) => {
    const cut = pads[i]! + pads[sizes.length + i]!;
    return strides[i]! * (size - 1) + reach(kernel[i]!, dilations[i]!) - cut + more[i]!;
  });
  return result('ConvTranspose', x!, [batch, filters * group, ...spatial]);
}

function checkWindow(operator: string, x: TensorType, weight: TensorType, window: Window): void {
  const rank = x.shape.length - 2;
  if (x.dtype !== weight.dtype) {
    throw shapeError(operator, `types ${x.dtype} and ${weight.dtype} differ`);
  }
  const { strides, pads, dilations, group } = window;
  const counts = [...strides, ...dilations, ...weight.shape.slice(2), group];
  const fits =
    rank >= 1 &&
    weight.shape.length === rank + 2 &&
    strides.length === rank &&
    dilations.length === rank &&
    pads.length === 2 * rank &&
    counts.every((n) => Number.isInteger(n) && n >= 1) &&
    pads.every((n) => Number.isInteger(n) && n >= 0);
  if (!fits) throw misfit(operator, x, weight, window);
}

function checkBias(operator: string, bias: TensorType | undefined, filters: number): void {
  if (bias && !sameShape(bias.shape, [filters])) {
    throw shapeError(operator, `the bias is ${formatShape(bias.shape)}, not [${filters}]`);
  }
}

function misfit(operator: string, x: TensorType, weight: TensorType, window: Window) {
  const { strides, pads, dilations, group } = window;
  const how = `strides ${formatShape(strides)}, pads ${formatShape(pads)}, dilations ${formatShape(dilations)}, ${group} groups`;
  return shapeError(
    operator,
    `${formatShape(weight.shape)} does not slide over ${formatShape(x.shape)} with ${how}`,
  );
}

function result(operator: string, { dtype, shape }: TensorType, to: readonly number[]): TensorType {
  if (to.slice(2).some((size) => size < 1)) {
    throw shapeError(operator, `nothing is left of ${formatShape(shape)}: ${formatShape(to)}`);
  }
  return { dtype, shape: to };
}
