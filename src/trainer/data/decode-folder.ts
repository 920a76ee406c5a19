/** @file Decodes the pictures of a folder, passing over a few that are damaged. */
import { join } from 'node:path';
import { sha256 } from '../files/hash.ts';
import { type Shape, sameShape, sizeOf } from '../tensor.ts';
import { type DecodeOptions, decodePicture, type Pixels } from './decode-picture.ts';
import { forEachBounded, type Watch } from './for-each-bounded.ts';
import { requireFits } from './held-dataset.ts';
import { invalid, someOf } from './picture-list.ts';
import { readWhole } from './read-whole.ts';

/** A picture file and the sha256 of its contents. */
export interface HashedPicture {
  readonly path: string;
  readonly sha256: string;
}

/** A picture that cannot be decoded, and what the decoder says. */
export interface Skipped {
  readonly path: string;
  readonly why: string;
}

/** The pictures that could be decoded, in the order of their files. */
export interface DecodedPictures {
  /** [count, ...shape]. */
  readonly samples: Uint8Array;
  /** [channels, height, width]. */
  readonly shape: Shape;
  readonly skipped: readonly Skipped[];
}

/** Damaged pictures that are passed over: a few in any folder, or this share of a large one. More is no accident. */
const MAX_SKIPPED = 10;
const MAX_SKIPPED_SHARE = 0.01;

/** Decodes the pictures of `folder`; throws DATASET_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE or INTERRUPTED. */
export async function decodeFolder(
  folder: string,
  files: readonly HashedPicture[],
  options: DecodeOptions,
  watch: Watch,
): Promise<DecodedPictures> {
  const skipped = new SkippedPictures(folder, files);
  const first = await decodeFirst(folder, files, options, skipped);
  const { shape } = first.pixels;
  const size = sizeOf(shape);
  requireFits(folder, files.length, shape, 1);
  const samples = new Uint8Array(files.length * size);
  await forEachBounded(
    files,
    async (file, i) => {
      if (i < first.index) return;
      const pixels =
        i === first.index ? first.pixels : await decodeOne(folder, file, options, skipped);
      if (!pixels) return;
      if (!sameShape(pixels.shape, shape)) {
        throw mixedSizes(folder, [files[first.index]!, file], [shape, pixels.shape]);
      }
      samples.set(pixels.data, i * size);
    },
    watch,
  );
  const list = skipped.inOrder();
  return { samples: withoutSkipped(samples, size, files, list), shape, skipped: list };
}

/** What a skipped picture is told as. */
export function skippedNotice(folder: string, skipped: readonly Skipped[]): string {
  const count = skipped.length === 1 ? '1 picture' : `${skipped.length} pictures`;
  const names = skipped.map(({ path, why }) => `${path} (${why})`);
  return `${folder}: ${count} cannot be decoded and ${skipped.length === 1 ? 'is' : 'are'} left out: ${someOf(names)}`;
}

class SkippedPictures {
  readonly #folder: string;
  readonly #files: readonly HashedPicture[];
  readonly #why = new Map<string, string>();

  constructor(folder: string, files: readonly HashedPicture[]) {
    this.#folder = folder;
    this.#files = files;
  }

  /** Throws DATASET_INVALID when it is one too many. */
  add(path: string, thrown: unknown): void {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.#why.set(path, why.trim().replace(/\s+/g, ' '));
    const total = this.#files.length;
    const most = Math.min(total - 1, Math.max(MAX_SKIPPED, Math.floor(total * MAX_SKIPPED_SHARE)));
    if (this.#why.size <= most) return;
    const names = this.inOrder().map((skipped) => `${skipped.path} (${skipped.why})`);
    throw invalid(
      this.#folder,
      `too many pictures cannot be decoded, ${names.length} so far of ${total}: ${someOf(names)}`,
      'Copy them again, or remove what is no picture.',
    );
  }

  inOrder(): Skipped[] {
    return this.#files.flatMap(({ path }) => {
      const why = this.#why.get(path);
      return why === undefined ? [] : [{ path, why }];
    });
  }
}

/** The first picture that can be decoded: it decides the shape of all. */
async function decodeFirst(
  folder: string,
  files: readonly HashedPicture[],
  options: DecodeOptions,
  skipped: SkippedPictures,
): Promise<{ index: number; pixels: Pixels }> {
  for (let index = 0; ; index++) {
    // Adding the last one has thrown, as not all may be skipped.
    const pixels = await decodeOne(folder, files[index]!, options, skipped);
    if (pixels) return { index, pixels };
  }
}

/** Undefined when it cannot be decoded. */
async function decodeOne(
  folder: string,
  file: HashedPicture,
  options: DecodeOptions,
  skipped: SkippedPictures,
): Promise<Pixels | undefined> {
  const full = join(folder, file.path);
  const bytes = await readWhole(full);
  // The hash names what is decoded, in the cache and in every model that is trained on it.
  if (sha256(bytes) !== file.sha256) {
    throw invalid(full, 'it has changed while it was read', 'Run again once the folder is ready.');
  }
  try {
    return await decodePicture(bytes, options);
  } catch (error) {
    skipped.add(file.path, error);
    return undefined;
  }
}

function mixedSizes(
  folder: string,
  files: readonly [HashedPicture, HashedPicture],
  shapes: readonly [Shape, Shape],
) {
  const [one, other] = files.map(({ path }, i) => {
    const [, height, width] = shapes[i as 0 | 1];
    return `${path} is ${width} x ${height}`;
  });
  return invalid(
    folder,
    `the pictures have different sizes: ${one}, ${other}`,
    'Set size to a number of pixels, such as 64: all are resized and cropped to it.',
  );
}

/** Closes the gaps that skipped pictures left, in place. */
function withoutSkipped(
  samples: Uint8Array,
  size: number,
  files: readonly HashedPicture[],
  skipped: readonly Skipped[],
): Uint8Array {
  if (skipped.length === 0) return samples;
  const gone = new Set(skipped.map(({ path }) => path));
  let kept = 0;
  for (const [i, { path }] of files.entries()) {
    if (gone.has(path)) continue;
    samples.copyWithin(kept * size, i * size, (i + 1) * size);
    kept++;
  }
  return samples.subarray(0, kept * size);
}
