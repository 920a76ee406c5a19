/** @file A tensor of a safetensors file as float32, whatever type of number it is stored as. */
import { FlowstepError } from '../../errors.ts';
import type { Tensor } from '../tensor.ts';
import { type Float8Format, float8ToFloat32 } from './float8.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './float16.ts';
import type { SafetensorsFile } from './safetensors.ts';
import type { FileDtype } from './safetensors-header.ts';

const FLOAT8: Partial<Record<FileDtype, Float8Format>> = { F8_E4M3: 'e4m3', F8_E5M2: 'e5m2' };

const FLOATS: readonly FileDtype[] = ['F32', 'F16', 'BF16', 'F64', 'F8_E4M3', 'F8_E5M2'];

/** Whether `readFloats` reads a type. */
export const isFloatType = (dtype: FileDtype): boolean => FLOATS.includes(dtype);

/** The types that `readFloats` reads, for messages. */
export const FLOAT_TYPES = FLOATS.join(', ');

/** The values of a tensor; throws FILE_FORMAT when it is absent or of another type. */
export async function readFloats(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const dtype = file.header.tensors.get(name)?.dtype;
  if (dtype && !isFloatType(dtype)) {
    throw new FlowstepError('FILE_FORMAT', `${file.path}: tensor "${name}" is ${dtype}`, {
      file: file.path,
      hint: `Weights are read from ${FLOAT_TYPES}.`,
    });
  }
  const float8 = dtype && FLOAT8[dtype];
  if (float8) return float8ToFloat32((await file.readRaw(name)).bytes, float8);
  return widen(await file.read(name));
}

/** The values of rows [from, to) along a tensor's first axis; throws as `readFloats`, and for 8-bit floats. */
export async function readFloatRows(
  file: SafetensorsFile,
  name: string,
  from: number,
  to: number,
): Promise<Float32Array> {
  return widen(await file.readRows(name, from, to));
}

function widen({ dtype, data }: Tensor): Float32Array {
  switch (dtype) {
    case 'float16':
      return float16ToFloat32(data as Uint16Array);
    case 'bfloat16':
      return bfloat16ToFloat32(data as Uint16Array);
    case 'float64':
      return Float32Array.from(data as Float64Array);
    default:
      return data as Float32Array;
  }
}
