/** @file Data sets of latents, or of any other vectors, from a safetensors file. */
import { FlowstepError } from '../../errors.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../files/float16.ts';
import { SafetensorsFile } from '../files/safetensors.ts';
import type { TensorEntry } from '../files/safetensors-header.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import { contentHash } from './content-hash.ts';
import type { Dataset } from './dataset.ts';
import { heldDataset, requireFits } from './held-dataset.ts';

/** Names that the samples may have; `samples` is what `flowstep sample` writes. */
const SAMPLE_NAMES = ['latents', 'samples'] as const;

/** Most classes that a network takes. */
const MAX_CLASSES = 100_000;

const BYTES_PER_FLOAT = 4;

/**
 * `latents` (or `samples`) [count, ...shape] in float32, float16 or bfloat16, with integer `labels` [count] if there
 * are any; the values are used as they are. Throws DATASET_INVALID, FILE_FORMAT, FILE_NOT_FOUND or FILE_UNREADABLE.
 */
export async function latents(name: string, path: string): Promise<Dataset> {
  await using file = await SafetensorsFile.open(path);
  const { tensors } = file.header;
  const key = SAMPLE_NAMES.find((candidate) => tensors.has(candidate));
  if (key === undefined) throw wrongNames(path, [...tensors.keys()]);
  const { dtype, shape } = tensors.get(key) as TensorEntry; // `has` was just true
  const [count = 0, ...sample] = shape;
  if (sample.length === 0 || sizeOf(shape) === 0) {
    throw invalid(
      path,
      `${key} has shape [${shape.join(', ')}], not [count, ...shape of a sample]`,
    );
  }
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw invalid(path, `${key} has type ${dtype}, not F32, F16 or BF16`);
  }
  requireFits(path, count, sample, BYTES_PER_FLOAT);
  const samples = widen(await file.read(key));
  requireFinite(path, key, samples, sizeOf(sample));
  const labels = tensors.has('labels')
    ? readLabels(path, await file.read('labels'), count)
    : undefined;
  return heldDataset({
    name,
    shape: sample,
    samples,
    ...(labels && { labels }),
    classes: labels ? labels.reduce((a, b) => Math.max(a, b), 0) + 1 : 0,
    hash: contentHash(JSON.stringify(shape), samples, ...(labels ? [labels] : [])),
    flip: false,
  });
}

function widen({ dtype, data }: Tensor): Float32Array {
  // The arrays of both half types are raw words.
  if (dtype === 'float16') return float16ToFloat32(data as Uint16Array);
  if (dtype === 'bfloat16') return bfloat16ToFloat32(data as Uint16Array);
  return data as Float32Array;
}

/** One value that is not finite ends a training much later, and nobody would know why. */
function requireFinite(path: string, key: string, samples: Float32Array, size: number): void {
  const at = samples.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw invalid(path, `sample ${Math.floor(at / size)} of ${key} holds ${samples[at]}`);
}

function readLabels(path: string, { dtype, shape, data }: Tensor, count: number): Int32Array {
  if (shape.length !== 1 || shape[0] !== count) {
    throw invalid(path, `labels has shape [${shape.join(', ')}], but there are ${count} samples`);
  }
  if (dtype !== 'int64' && dtype !== 'int32') {
    throw invalid(path, `labels has type ${dtype}, not int64 or int32`);
  }
  return Int32Array.from(data as ArrayLike<number | bigint>, (value: number | bigint, i) => {
    const label = Number(value);
    if (label >= 0 && label < MAX_CLASSES) return label;
    throw invalid(path, `label ${i} is ${value}, not 0 to ${MAX_CLASSES - 1}`);
  });
}

function wrongNames(path: string, names: readonly string[]): FlowstepError {
  const there = names.length > 0 ? `it holds ${names.slice(0, 8).join(', ')}` : 'it is empty';
  return invalid(path, `it has no tensor latents or samples; ${there}`);
}

function invalid(path: string, what: string): FlowstepError {
  return new FlowstepError('DATASET_INVALID', `${path}: not a usable file of latents: ${what}`, {
    file: path,
    hint: 'One tensor `latents` [count, ...] in float32, float16 or bfloat16, and if there are classes `labels` [count] in int64 or int32.',
  });
}
