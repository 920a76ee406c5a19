/** @file Numbers as types of 16 bits keep them. */
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../files/float16.ts';
import type { DType } from '../tensor.ts';

/** The values rounded to the type; themselves for types of more bits. */
export function rounded(data: Float64Array, dtype: DType): Float64Array {
  if (dtype === 'float16') {
    return Float64Array.from(float16ToFloat32(float32ToFloat16(Float32Array.from(data))));
  }
  if (dtype === 'bfloat16') {
    return Float64Array.from(bfloat16ToFloat32(float32ToBfloat16(Float32Array.from(data))));
  }
  return data;
}
