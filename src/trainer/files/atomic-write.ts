/** @file Writing a file so that a reader sees the old content or the new, never a part. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FlowstepError } from '../../errors.ts';

/**
 * Writes `chunks` one after the other to `path` by way of a temporary file beside it; on failure
 * the temporary file is removed, the old content stays and FILE_UNWRITABLE is thrown.
 */
export async function atomicWrite(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeAndSync(temporary, chunks);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    if (error instanceof FlowstepError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new FlowstepError('FILE_UNWRITABLE', `${path}: cannot be written (${why})`, {
      file: path,
      cause: error,
      hint: 'Check that the folder exists, may be written and has room.',
    });
  }
  await syncFolder(folder);
}

async function writeAndSync(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  // 'wx': never write through something that already has this name.
  const file = await open(path, 'wx');
  try {
    for (const chunk of chunks) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the rename itself survive a power cut, where the system can sync folders (Windows cannot). */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // The file is complete and in place; only its durability is up to the system.
  }
}
