/** @file SHA-256 of files and of bytes, in lower-case hexadecimal. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { readError } from './read-error.ts';

/** SHA-256 of the parts one after the other; text counts as UTF-8. */
export function sha256(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** SHA-256 of a file's content, read in pieces; throws FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (error) {
    throw readError(path, error);
  }
  return hash.digest('hex');
}
