/** @file Statistics of features on disk, so that those of a reference set are computed once. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { asFlowstepError } from '../../errors.ts';
import { sha256 } from '../files/hash.ts';
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { sameShape } from '../tensor.ts';
import type { FeatureStatistics } from './feature-statistics.ts';

/** Goes into the names of the files: raise it when the same features give other statistics. */
const VERSION = 1;

const MetadataSchema = z.object({
  count: z.coerce.number().int().min(2),
  /** sha256 of the numbers: damage inside the data is not seen otherwise. */
  sha256: z.string(),
});

export interface CachedStatistics {
  readonly statistics: FeatureStatistics;
  readonly isCached: boolean;
  /** Why the cache could not be read or written; the statistics are right all the same. */
  readonly problem?: string;
}

/**
 * The statistics kept in `folder` under `key`, the hash of what they follow from; else those that `compute` gives, which
 * are then kept. A cache that cannot be used costs time and nothing else. Throws what `compute` throws.
 */
export async function cachedStatistics(
  folder: string,
  key: string,
  compute: () => Promise<FeatureStatistics>,
): Promise<CachedStatistics> {
  const path = join(folder, `${sha256(`statistics ${VERSION} ${key}`)}.safetensors`);
  const problems: string[] = [];
  const known = await read(path).catch((thrown: unknown) => {
    const error = asFlowstepError(thrown);
    if (error.code !== 'FILE_NOT_FOUND') problems.push(`${path}: ${error.message}`);
    return undefined;
  });
  if (known) return { statistics: known, isCached: true };
  const statistics = await compute();
  await write(folder, path, statistics).catch((thrown: unknown) => {
    problems.push(asFlowstepError(thrown).message);
  });
  const problem = problems.at(-1);
  return { statistics, isCached: false, ...(problem !== undefined && { problem }) };
}

async function read(path: string): Promise<FeatureStatistics> {
  const { tensors, metadata } = await readSafetensors(path);
  const parsed = MetadataSchema.parse(metadata);
  const mean = tensors.get('mean');
  const covariance = tensors.get('covariance');
  if (!(mean?.data instanceof Float64Array && covariance?.data instanceof Float64Array)) {
    throw new Error('it has no mean and covariance of float64');
  }
  const dim = mean.data.length;
  if (!sameShape(covariance.shape, [dim, dim])) throw new Error('its covariance has another shape');
  const statistics = { count: parsed.count, mean: mean.data, covariance: covariance.data };
  if (hashOf(statistics) !== parsed.sha256) throw new Error('its data is damaged');
  return statistics;
}

async function write(folder: string, path: string, statistics: FeatureStatistics): Promise<void> {
  const { count, mean, covariance } = statistics;
  const dim = mean.length;
  await mkdir(folder, { recursive: true });
  await writeSafetensors(
    path,
    new Map([
      ['mean', { dtype: 'float64' as const, shape: [dim], data: mean }],
      ['covariance', { dtype: 'float64' as const, shape: [dim, dim], data: covariance }],
    ]),
    { count: String(count), sha256: hashOf(statistics) },
  );
}

function hashOf({ count, mean, covariance }: FeatureStatistics): string {
  const bytes = ({ buffer, byteOffset, byteLength }: Float64Array) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  return sha256(`${count} `, bytes(mean), bytes(covariance));
}
