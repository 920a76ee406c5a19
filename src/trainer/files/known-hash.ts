/** @file SHA-256 of files that are asked for again and again: a file is read only when the system says that it has changed. */
import { stat } from 'node:fs/promises';
import { sha256OfFile } from './hash.ts';
import { readError } from './read-error.ts';

interface Known {
  readonly stamp: string;
  readonly sha256: string;
}

/** Entries are small; this many files are more than a graph names. */
const MAX_KNOWN = 10_000;

/** By absolute path. */
const known = new Map<string, Known>();

/** SHA-256 of the file's content; throws FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function knownSha256(file: string): Promise<string> {
  const stamp = await stampOf(file);
  const found = known.get(file);
  if (found?.stamp === stamp) return found.sha256;
  const sha256 = await sha256OfFile(file);
  known.delete(file);
  // What was written while it was read is neither the old content nor the new.
  if ((await stampOf(file)) === stamp) known.set(file, { stamp, sha256 });
  const [oldest] = known.keys();
  if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
  return sha256;
}

/** Size, times and place: they differ when the content does, unless somebody sets the clock back. */
async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    throw readError(file, error);
  }
}
