/** @file From an input that names a file to a feature extractor. */
import { extractorFilesHash, FeatureExtractor } from '../trainer/metrics/extractor.ts';
import type { NodeContext } from './node-context.ts';
import { resolveInside } from './root-files.ts';

/** The extractor below the models folder; none for an empty name. Throws as `FeatureExtractor.open`. */
export async function openExtractor(
  file: string,
  { roots }: NodeContext,
): Promise<FeatureExtractor | undefined> {
  if (file === '') return undefined;
  return FeatureExtractor.open(await resolveInside(roots, 'models', file));
}

/** A text that changes with the files of the extractor; undefined for an empty name. Throws as reading them. */
export async function extractorFingerprint(
  file: string,
  { roots }: NodeContext,
): Promise<string | undefined> {
  if (file === '') return undefined;
  return extractorFilesHash(await resolveInside(roots, 'models', file));
}
