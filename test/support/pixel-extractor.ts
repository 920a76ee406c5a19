/** @file An extractor whose features of a picture of 4 x 4 are its sixteen bytes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT_TYPES } from '../../src/trainer/graph/onnx-format.ts';
import { handModel } from './onnx-models.ts';

export const PIXELS = 16;
export const PIXEL_SHAPE = [1, 4, 4] as const;

/** Writes pixels.onnx with its declaration into the folder; gives its path. */
export async function pixelExtractor(
  folder: string,
  changes: { readonly preprocessing?: object } = {},
): Promise<string> {
  const port = (name: string, shape: readonly (number | undefined)[]) => {
    const dim = shape.map((size) => (size === undefined ? { dimParam: 'n' } : { dimValue: size }));
    return { name, type: { tensorType: { elemType: ELEMENT_TYPES.float32, shape: { dim } } } };
  };
  const model = handModel({
    inputs: { x: port('x', [undefined, ...PIXEL_SHAPE]) },
    initializers: {},
    nodes: [{ opType: 'Flatten', input: ['x'], output: ['f'] }],
    graph: { output: [port('f', [undefined, PIXELS])] },
  });
  const file = join(folder, 'pixels.onnx');
  await writeFile(file, model);
  const preprocessing = {
    ...{ size: null, filter: 'bilinear-tf1', channels: 'grey', layout: 'nchw' },
    ...{ subtract: 0, divide: 1, ...changes.preprocessing },
  };
  await writeFile(
    file.replace('.onnx', '.json'),
    JSON.stringify({ name: 'pixels', preprocessing }),
  );
  return file;
}
