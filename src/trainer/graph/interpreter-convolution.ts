/** @file Conv and ConvTranspose in plain float64, for the reference interpreter. */
import type { Shape } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import type { Plain } from './interpreter.ts';
import { stridesOf } from './shapes.ts';
import type { Window } from './windows.ts';

/** Where one element of the kernel joins the wide side of a convolution (its input) and the narrow one (its result). */
interface Tap {
  readonly wide: Int32Array;
  readonly narrow: Int32Array;
}

function tapsOf(wide: Shape, narrow: Shape, kernel: Shape, window: Window): Tap[] {
  const { strides, pads, dilations } = window;
  const kernelStrides = stridesOf(kernel);
  const wideStrides = stridesOf(wide);
  const narrowStrides = stridesOf(narrow);
  return Array.from({ length: sizeOf(kernel) }, (_, tap) => {
    const from: number[] = [];
    const to: number[] = [];
    for (let at = 0; at < sizeOf(narrow); at++) {
      const index = wide.map((_size, i) => {
        const step = Math.floor(at / narrowStrides[i]!) % narrow[i]!;
        const inKernel = Math.floor(tap / kernelStrides[i]!) % kernel[i]!;
        return step * strides[i]! + inKernel * dilations[i]! - pads[i]!;
      });
      if (!index.every((k, i) => k >= 0 && k < wide[i]!)) continue;
      from.push(index.reduce((sum, k, i) => sum + k * wideStrides[i]!, 0));
      to.push(at);
    }
    return { wide: Int32Array.from(from), narrow: Int32Array.from(to) };
  });
}

/** Calls `visit` for each pair of channels that a weight joins: sample, wide and narrow channel, weight's place. */
function eachPair(
  batch: number,
  weight: Plain,
  group: number,
  visit: (wide: number, narrow: number, sample: number, weightAt: number) => void,
): void {
  const [filters, depth] = weight.shape as [number, number];
  const each = filters / group;
  const taps = sizeOf(weight.shape.slice(2));
  for (let sample = 0; sample < batch; sample++) {
    for (let narrow = 0; narrow < filters; narrow++) {
      for (let d = 0; d < depth; d++) {
        const wide = Math.floor(narrow / each) * depth + d;
        visit(wide, narrow, sample, (narrow * depth + d) * taps);
      }
    }
  }
}

/** x [N, C, ...] -> `shape` [N, K, ...]. */
export function convolve(
  x: Plain,
  weight: Plain,
  bias: Plain | undefined,
  shape: Shape,
  window: Window,
): Float64Array {
  return joined(x, weight, bias, shape, window, false);
}

/** x [N, C, ...] -> `shape` [N, K, ...], by the weight [C, K / group, ...kernel]. */
export function convolveTransposed(
  x: Plain,
  weight: Plain,
  bias: Plain | undefined,
  shape: Shape,
  window: Window,
): Float64Array {
  return joined(x, weight, bias, shape, window, true);
}

function joined(
  x: Plain,
  weight: Plain,
  bias: Plain | undefined,
  shape: Shape,
  window: Window,
  widens: boolean,
): Float64Array {
  const [batch, channels, ...sizes] = shape as [number, number, ...number[]];
  const from = sizeOf(x.shape.slice(2));
  const to = sizeOf(sizes);
  const [wideSizes, narrowSizes] = widens ? [sizes, x.shape.slice(2)] : [x.shape.slice(2), sizes];
  const taps = tapsOf(wideSizes, narrowSizes, weight.shape.slice(2), window);
  const out = new Float64Array(sizeOf(shape));
  if (bias) for (let i = 0; i < out.length; i++) out[i] = bias.data[Math.floor(i / to) % channels]!;
  eachPair(batch, weight, window.group, (wide, narrow, sample, weightAt) => {
    const [source, target] = widens ? [narrow, wide] : [wide, narrow];
    const sourceAt = (sample * x.shape[1]! + source) * from;
    const targetAt = (sample * channels + target) * to;
    for (const [i, tap] of taps.entries()) {
      const factor = weight.data[weightAt + i]!;
      const [reads, writes] = widens ? [tap.narrow, tap.wide] : [tap.wide, tap.narrow];
      for (let j = 0; j < reads.length; j++) {
        out[targetAt + writes[j]!]! += factor * x.data[sourceAt + reads[j]!]!;
      }
    }
  });
  return out;
}
