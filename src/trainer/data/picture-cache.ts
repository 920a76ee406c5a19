/** @file Decoded pictures on disk, so that the same folder is decoded once. */
import { join } from 'node:path';
import { z } from 'zod';
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import { makeFolder } from '../files/make-folder.ts';
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { contentHash } from './content-hash.ts';
import type { DecodedPictures } from './decode-folder.ts';

/** Metadata values are text: `skipped` is JSON. */
const CacheMetadataSchema = z.object({
  /** sha256 of the samples: damage inside the data is not seen otherwise. */
  sha256: z.string(),
  skipped: z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(z.array(z.strictObject({ path: z.string(), why: z.string() }))),
});

/** What the cache has of `total` pictures under `key`; undefined when it has nothing. Throws FILE_FORMAT when the file is damaged. */
export async function readCached(
  folder: string,
  key: string,
  total: number,
): Promise<DecodedPictures | undefined> {
  const path = cachePath(folder, key);
  try {
    const { tensors, metadata } = await readSafetensors(path);
    const parsed = CacheMetadataSchema.parse(metadata);
    const samples = tensors.get('samples');
    if (samples?.dtype !== 'uint8' || !(samples.data instanceof Uint8Array)) {
      throw new Error('it has no samples of bytes');
    }
    if (contentHash('', samples.data) !== parsed.sha256) throw new Error('its data is damaged');
    const [count = 0, ...shape] = samples.shape;
    if (count + parsed.skipped.length !== total) throw new Error('it holds other pictures');
    return { samples: samples.data, shape, skipped: parsed.skipped };
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (error.code === 'FILE_NOT_FOUND') return undefined;
    throw new FlowstepError('FILE_FORMAT', `${path}: ${error.message}`, {
      file: path,
      cause: thrown,
    });
  }
}

/** Keeps the pictures under `key`; throws FILE_UNWRITABLE. */
export async function writeCached(
  folder: string,
  key: string,
  { samples, shape, skipped }: DecodedPictures,
): Promise<void> {
  const path = cachePath(folder, key);
  const count = samples.length / shape.reduce((a, b) => a * b, 1);
  await makeFolder(folder);
  await writeSafetensors(
    path,
    new Map([['samples', { dtype: 'uint8' as const, shape: [count, ...shape], data: samples }]]),
    { sha256: contentHash('', samples), skipped: JSON.stringify(skipped) },
  );
}

function cachePath(folder: string, key: string): string {
  return join(folder, `${key}.safetensors`);
}
