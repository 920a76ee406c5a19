/**
 * @file Latents, noise and times for the estimates: quasi-random points, as plain random ones would take a hundred times
 * as many for the same error.
 *
 * Each latent of a fixed set, and each part of a mixture, comes equally often. Times are drawn with density 1 / t, as the
 * losses vary most near the data, and weighted back to an even density.
 */
import { normalsFromWords } from '../random/inverse-normal.ts';
import { type Shape, sizeOf } from '../tensor.ts';
import { QuasiRandom } from './quasi-random.ts';
import { type Setting, TIMES } from './setting.ts';

const TIME_RATIO = Math.log(TIMES.max / TIMES.min);

/** Axes of a point: the time, the noise, then the latents. */
const NOISE_AXIS = 1;

/** Scrambling of the latents that are drawn once; replicates count from 0. */
const LATENTS_SCRAMBLING = 2 ** 31;

/**
 * `count` latents of `dim` numbers, drawn from the normal distribution: point n of a replicate has number n mod count, so that
 * latents and noise together fill their space evenly.
 */
export function fixedLatents(count: number, dim: number, seed: number): Float64Array {
  const sequence = new QuasiRandom(seed, LATENTS_SCRAMBLING);
  const values = new Float64Array(count * dim);
  for (let n = 0; n < count; n++) values.set(normals(sequence, n, NOISE_AXIS + dim, dim), n * dim);
  return values;
}

/** Normal numbers from the axes [axis, axis + count) of point n. */
function normals(sequence: QuasiRandom, n: number, axis: number, count: number): Float32Array {
  const words = Uint32Array.from({ length: count }, (_, j) => sequence.word(n, axis + j));
  const out = new Float32Array(count);
  normalsFromWords(out, words, 0, 0, count);
  return out;
}

/** The time at `share` in [0, 1): one half are evenly distributed, the other half with density 1 / t. */
function timeOf(share: number): number {
  return share < 0.5
    ? TIMES.min * Math.exp(TIME_RATIO * 2 * share)
    : TIMES.min + (TIMES.max - TIMES.min) * (2 * share - 1);
}

/** The even density over that of `timeOf`. */
function weightOf(t: number): number {
  const relative = (TIMES.max - TIMES.min) / (t * TIME_RATIO);
  return 2 / (1 + relative);
}

/** Shapes of what a batch is fed: z, x1 [B, ...sample], t and weight [B], part [B, K] for mixtures. */
export function feedShapes({ shape, latents }: Setting, batch: number): Record<string, Shape> {
  return {
    z: [batch, ...shape],
    x1: [batch, ...shape],
    t: [batch],
    weight: [batch],
    ...('parts' in latents && { part: [batch, latents.parts] }),
  };
}

export type Feeds = Readonly<Record<string, Float64Array>>;

/** The points [0, batch), [batch, 2 batch), ... of a replicate; the arrays are the same each time. */
export function* draws(
  setting: Setting,
  batch: number,
  points: number,
  seed: number,
  replicate: number,
): Generator<Feeds> {
  const { shape, latents } = setting;
  const dim = sizeOf(shape);
  const isMixture = 'parts' in latents;
  const sequence = new QuasiRandom(seed, replicate);
  const feeds = Object.fromEntries(
    Object.entries(feedShapes(setting, batch)).map(([name, s]) => [
      name,
      new Float64Array(sizeOf(s)),
    ]),
  );
  for (let from = 0; from < points; from += batch) {
    feeds['part']?.fill(0);
    for (let row = 0; row < batch; row++) {
      const n = from + row;
      const t = timeOf(sequence.at(n, 0));
      feeds['t']![row] = t;
      feeds['weight']![row] = weightOf(t);
      feeds['x1']!.set(normals(sequence, n, NOISE_AXIS, dim), row * dim);
      if (isMixture) {
        feeds['z']!.set(normals(sequence, n, NOISE_AXIS + dim, dim), row * dim);
        const part = Math.floor(sequence.at(n, NOISE_AXIS + 2 * dim) * latents.parts);
        feeds['part']![row * latents.parts + part] = 1;
      } else {
        const at = (n % latents.count) * dim;
        feeds['z']!.set(latents.values.subarray(at, at + dim), row * dim);
      }
    }
    yield feeds;
  }
}
