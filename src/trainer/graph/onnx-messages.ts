/** @file Messages of an ONNX file that are written. */
import { bug } from '../../errors.ts';
import type { Tensor } from '../tensor.ts';
import { ATTRIBUTE_TYPES, ELEMENT_TYPES } from './onnx-format.ts';

/** An attribute of a node. */
export function attributeProto(name: string, kind: string, value: unknown): object {
  switch (kind) {
    case 'int':
      return { name, type: ATTRIBUTE_TYPES.int, i: value };
    case 'ints':
      return { name, type: ATTRIBUTE_TYPES.ints, ints: value };
    case 'float':
      return { name, type: ATTRIBUTE_TYPES.float, f: value };
    case 'string':
      return { name, type: ATTRIBUTE_TYPES.string, s: new TextEncoder().encode(String(value)) };
    case 'dtype':
      return { name, type: ATTRIBUTE_TYPES.int, i: ELEMENT_TYPES[value as Tensor['dtype']] };
    default:
      throw bug(`attribute kind ${kind}`);
  }
}

/** The bytes of a tensor, over its own memory. */
export const bytesOf = ({ data }: Tensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** A tensor with its bytes. */
export function tensorProto(name: string, tensor: Tensor): object {
  const { dtype, shape } = tensor;
  return { name, dims: shape, dataType: ELEMENT_TYPES[dtype], rawData: bytesOf(tensor) };
}
