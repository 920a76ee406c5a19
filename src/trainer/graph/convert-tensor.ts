/** @file Tensors of floats in another float type. */
import { bug } from '../../errors.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../files/float16.ts';
import type { DType, Tensor } from '../tensor.ts';

/** The same numbers as float32 or float64; tensors of other than float types stay as they are. */
export function convertedTo(tensor: Tensor, dtype: DType): Tensor {
  const { shape } = tensor;
  if (tensor.dtype === dtype || !/float/.test(tensor.dtype)) return tensor;
  const numbers = widened(tensor);
  if (dtype === 'float32') return { dtype, shape, data: Float32Array.from(numbers) };
  if (dtype === 'float64') return { dtype, shape, data: Float64Array.from(numbers) };
  throw bug(`tensors are not converted to ${dtype}`);
}

/** Numbers of a tensor of floats, whatever their type. */
export function widened({ dtype, data }: Tensor): Float32Array | Float64Array {
  switch (dtype) {
    case 'float16':
      return float16ToFloat32(data as Uint16Array);
    case 'bfloat16':
      return bfloat16ToFloat32(data as Uint16Array);
    case 'float64':
      return data as Float64Array;
    case 'float32':
      return data as Float32Array;
    default:
      throw bug(`${dtype} is no type of floats`);
  }
}
