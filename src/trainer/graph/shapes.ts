/** @file Shape arithmetic shared by shape inference, the gradient rules and the interpreter. */
import { FlowstepError } from '../../errors.ts';
import type { DType, Shape } from '../tensor.ts';

/** Data type and shape of a value of the graph; all shapes are static. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`;

export function shapeError(operator: string, problem: string): FlowstepError {
  return new FlowstepError('SHAPE_MISMATCH', `${operator}: ${problem}`);
}

/** NumPy broadcasting of two shapes (ONNX "multidirectional broadcasting"). */
export function broadcast(operator: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw shapeError(operator, `${formatShape(a)} and ${formatShape(b)} do not broadcast`);
    }
    return x === 1 ? y : x;
  });
}

/** A possibly negative axis as an index into a shape of `rank` dimensions. */
export function normalAxis(operator: string, axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(index) || index < 0 || index >= rank) {
    throw shapeError(operator, `axis ${axis} is out of range for rank ${rank}`);
  }
  return index;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** The axes over which a gradient of shape `from` is summed to give a gradient of the broadcast operand `to`. */
export function broadcastAxes(from: Shape, to: Shape): number[] {
  const lead = from.length - to.length;
  return from.flatMap((d, i) => (i < lead || (to[i - lead] === 1 && d !== 1) ? [i] : []));
}

/** `permutation` such that permuting by it undoes permuting by `perm`. */
export function inversePermutation(perm: readonly number[]): number[] {
  const inverse = new Array<number>(perm.length);
  for (const [i, p] of perm.entries()) inverse[p] = i;
  return inverse;
}
