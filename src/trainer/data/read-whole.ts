/** @file Reads a file into memory. */
import { readFile } from 'node:fs/promises';
import { readError } from '../files/read-error.ts';

/** All bytes of a file; throws FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function readWhole(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw readError(path, error);
  }
}
