/** @file Data sets that lie in memory: pictures as bytes, latents as floats. */
import { FlowstepError } from '../../errors.ts';
import { sha256 } from '../files/hash.ts';
import { fillIndices, fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { type Shape, sizeOf } from '../tensor.ts';
import type { Batch, Dataset } from './dataset.ts';

/** Samples in memory with all that is known of them. */
export interface Held {
  readonly name: string;
  /** Shape of one sample. */
  readonly shape: Shape;
  /** [count, ...shape]: bytes 0 to 255 stand for -1 to 1, floats for themselves. */
  readonly samples: Uint8Array | Float32Array;
  /** [count], each below `classes`; absent when `classes` is 0. */
  readonly labels?: ArrayLike<number>;
  readonly classes: number;
  readonly captions?: readonly string[];
  /** sha256 of the contents. */
  readonly hash: string;
  /** Mirrors every other picture at random; for samples [channels, height, width]. */
  readonly flip: boolean;
}

/** Most bytes of samples in memory: the longest array of bytes that Node 20 makes. */
const MAX_HELD_BYTES = 2 ** 32;

/** The value of each byte. */
const LEVELS = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/** Throws DATASET_INVALID when `count` samples of `shape` do not fit; ask before they are read. */
export function requireFits(
  name: string,
  count: number,
  shape: Shape,
  bytesPerElement: number,
): void {
  const bytes = count * sizeOf(shape) * bytesPerElement;
  if (bytes <= MAX_HELD_BYTES) return;
  const gib = (n: number) => (n / 2 ** 30).toFixed(1);
  throw new FlowstepError(
    'DATASET_INVALID',
    `${name}: ${count} samples of shape [${shape.join(', ')}] take ${gib(bytes)} GiB of memory, more than the limit of ${gib(MAX_HELD_BYTES)}`,
    { hint: 'Use fewer samples, smaller pictures, or grey ones.' },
  );
}

/** Of the same samples when every other one is mirrored. */
export function flippedHash(hash: string): string {
  return sha256(hash, 'flip');
}

/** A data set over `held.samples` (not copied); flipping makes it another set, with a hash of its own. */
export function heldDataset(held: Held): Dataset {
  const { name, shape, samples, labels, classes, captions, flip } = held;
  const size = sizeOf(shape);
  const total = samples.length / size;
  const take = (chosen: Int32Array): Batch => {
    const x = new Float32Array(chosen.length * size);
    for (const [i, index] of chosen.entries()) {
      const from = index * size;
      write(x.subarray(i * size, (i + 1) * size), samples.subarray(from, from + size));
    }
    return labels ? { x, labels: chosen.map((index) => labels[index]!) } : { x };
  };
  return {
    name,
    shape,
    classes,
    hash: flip ? flippedHash(held.hash) : held.hash,
    ...(captions && { captions }),
    batch(seed, step, count) {
      const chosen = new Int32Array(count);
      fillIndices(chosen, total, seed, STREAMS.data, step);
      const batch = take(chosen);
      if (flip) mirrorSome(batch.x, size, shape.at(-1)!, seed, step);
      return batch;
    },
    whole: {
      count: total,
      range(from, count) {
        const length = Math.max(0, Math.min(count, total - from));
        return take(Int32Array.from({ length }, (_, i) => from + i));
      },
    },
  };
}

function write(out: Float32Array, sample: Uint8Array | Float32Array): void {
  if (sample instanceof Float32Array) out.set(sample);
  else for (let k = 0; k < out.length; k++) out[k] = LEVELS[sample[k]!]!;
}

/** Mirrors each sample of `x` left to right with probability 1/2. */
function mirrorSome(x: Float32Array, size: number, width: number, seed: number, step: number) {
  const draws = new Float32Array(x.length / size);
  fillUniform(draws, seed, STREAMS.dataFlip, step);
  for (const [i, draw] of draws.entries()) {
    if (draw < 0.5) mirrorRows(x.subarray(i * size, (i + 1) * size), width);
  }
}

function mirrorRows(x: Float32Array, width: number): void {
  for (let row = 0; row < x.length; row += width) {
    for (let left = row, right = row + width - 1; left < right; left++, right--) {
      const kept = x[left]!;
      x[left] = x[right]!;
      x[right] = kept;
    }
  }
}
