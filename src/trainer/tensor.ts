/** @file Host tensors: a data type, a shape and a typed array in row-major order. */
import { FlowstepError } from '../errors.ts';

/** Element types, named as in ONNX and safetensors documentation. float16 and bfloat16 are held as raw 16-bit words. */
export type DType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'uint8'
  | 'bool';

export interface TypedArrays {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

export type Shape = readonly number[];

export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: TypedArrays[D];
}

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** A float32 tensor over `data` (not copied); throws SHAPE_MISMATCH when the sizes differ. */
export function float32(data: Float32Array, shape: Shape): Tensor<'float32'> {
  if (data.length !== sizeOf(shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${data.length} values do not fill shape [${shape.join(', ')}]`,
    );
  }
  return { dtype: 'float32', shape, data };
}
