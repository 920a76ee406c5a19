/** @file Data sets of the pictures that a graph made: written once, named by their content, read in any later process. */
import { join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { makeFolder } from '../files/make-folder.ts';
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import { contentHash } from './content-hash.ts';
import type { Dataset } from './dataset.ts';
import { convertPicture, type DecodeOptions } from './decode-picture.ts';
import { heldDataset, requireFits } from './held-dataset.ts';

/**
 * Writes pictures [B, H, W, 1, 3 or 4] in [0, 1] as bytes into `folder`, under a name that follows from them; returns
 * the file's name. Throws DATASET_INVALID, VALUE_OUT_OF_RANGE or FILE_UNWRITABLE.
 */
export async function storePictureBatch(
  folder: string,
  images: Tensor<'float32'>,
  options: DecodeOptions,
): Promise<string> {
  const [count = 0, height = 0, width = 0, channels = 0] = images.shape;
  if (sizeOf(images.shape) === 0 || (channels !== 1 && channels !== 3 && channels !== 4)) {
    throw new FlowstepError(
      'DATASET_INVALID',
      `images of shape [${images.shape.join(', ')}] are no data set: [count, height, width, 1, 3 or 4] is needed`,
      { field: 'image' },
    );
  }
  const { size } = options;
  const shape = [
    options.channels === 'grey' ? 1 : 3,
    size === 0 ? height : size,
    size === 0 ? width : size,
  ];
  requireFits('the images', count, shape, 1);
  const samples = new Uint8Array(count * sizeOf(shape));
  const area = height * width * channels;
  for (let i = 0; i < count; i++) {
    const data = toBytes(images.data.subarray(i * area, (i + 1) * area), i);
    const pixels = await convertPicture({ data, width, height, channels }, options);
    samples.set(pixels.data, i * sizeOf(shape));
  }
  const all = [count, ...shape];
  const file = `${hashOf(all, samples)}.safetensors`;
  await makeFolder(folder);
  await writeSafetensors(
    join(folder, file),
    new Map([['samples', { dtype: 'uint8' as const, shape: all, data: samples }]]),
  );
  return file;
}

/** The pictures that `storePictureBatch` wrote to `path`; throws FILE_FORMAT, FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function pictureBatch(path: string, flip: boolean): Promise<Dataset> {
  const samples = (await readSafetensors(path)).tensors.get('samples');
  if (samples?.shape.length !== 4 || !(samples.data instanceof Uint8Array)) {
    throw new FlowstepError('FILE_FORMAT', `${path}: it holds no pictures`, {
      file: path,
      hint: 'Run Flow Dataset again: it writes the file anew.',
    });
  }
  return heldDataset({
    name: `images (${samples.shape[0]})`,
    shape: samples.shape.slice(1),
    samples: samples.data,
    classes: 0,
    hash: hashOf(samples.shape, samples.data),
    flip,
  });
}

function hashOf(shape: readonly number[], samples: Uint8Array): string {
  return contentHash(JSON.stringify(shape), samples);
}

/** Values outside [0, 1] are clamped, as ComfyUI does when it saves. */
function toBytes(values: Float32Array, index: number): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) throw notANumber(index);
    bytes[i] = Math.round(Math.min(Math.max(value, 0), 1) * 255);
  }
  return bytes;
}

function notANumber(index: number): FlowstepError {
  return new FlowstepError('VALUE_OUT_OF_RANGE', `image ${index} holds NaN, which has no colour`, {
    field: 'image',
    hint: 'Look at what made the pictures: a network that has diverged, or a division by zero.',
  });
}
