/** @file The model that copies a tensor of any shape: how tensors get to a device and back. */
import type { DType } from '../tensor.ts';
import { ELEMENT_TYPES, IR_VERSION, ModelProto, OPSET } from './onnx-format.ts';

export const IDENTITY_INPUT = 'x';
export const IDENTITY_OUTPUT = 'y';

/** An ONNX model with y = x, of any shape. */
export function identityModel(dtype: DType): Uint8Array {
  const ofAnyShape = (name: string) => ({
    name,
    type: { tensorType: { elemType: ELEMENT_TYPES[dtype] } },
  });
  const model = {
    irVersion: IR_VERSION,
    producerName: 'flowstep',
    opsetImport: [{ domain: '', version: OPSET }],
    graph: {
      name: 'copy',
      node: [
        { opType: 'Identity', name: 'copy', input: [IDENTITY_INPUT], output: [IDENTITY_OUTPUT] },
      ],
      input: [ofAnyShape(IDENTITY_INPUT)],
      output: [ofAnyShape(IDENTITY_OUTPUT)],
    },
  };
  return ModelProto.encode(ModelProto.create(model)).finish();
}
