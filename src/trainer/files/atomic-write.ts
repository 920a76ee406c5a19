/** @file Writing a file so that a reader sees the old content or the new, never a part; over what is there or only where nothing is. */
import { randomBytes } from 'node:crypto';
import { copyFile, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FlowstepError } from '../../errors.ts';

export interface WriteOptions {
  /** False: a file that has the name already stays, and an error is thrown that `isTaken` knows. Default true. */
  readonly replace?: boolean | undefined;
}

/**
 * Writes `chunks` one after the other to `path` by way of a temporary file beside it; on failure
 * the temporary file is removed, the old content stays and FILE_UNWRITABLE is thrown.
 */
export async function atomicWrite(
  path: string,
  chunks: Iterable<Uint8Array>,
  { replace = true }: WriteOptions = {},
): Promise<void> {
  await inPlace(path, replace, (temporary) => writeAndSync(temporary, chunks));
}

/** Gives a file a second name, in place of what has it; a copy where the file system has no links. Throws FILE_UNWRITABLE. */
export async function atomicLink(file: string, path: string): Promise<void> {
  await inPlace(path, true, async (temporary) => {
    await link(file, temporary).catch(() => copyAndSync(file, temporary));
  });
}

async function inPlace(
  path: string,
  replace: boolean,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await make(temporary);
    if (replace) await rename(temporary, path);
    else await nameNew(temporary, path);
  } catch (error) {
    if (error instanceof FlowstepError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new FlowstepError('FILE_UNWRITABLE', `${path}: cannot be written (${why})`, {
      file: path,
      cause: error,
      hint: 'Check that the folder exists, may be written and has room.',
    });
  } finally {
    // A link stays beside what it was linked to, and a rename over another name of the same file does nothing.
    await rm(temporary, { force: true }).catch(() => {});
  }
  await syncFolder(folder);
}

/** Whether something was not written because its name was taken: of processes that write at once, one gets a name. */
export function isTaken(error: unknown): boolean {
  if (!(error instanceof FlowstepError) || error.code !== 'FILE_UNWRITABLE') return false;
  return isThere(error.details.cause);
}

const isThere = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code === 'EEXIST';

/** Gives the temporary file a name that nothing has; throws EEXIST. */
async function nameNew(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (isThere(error)) throw error;
    // A file system without links, which each says in a way of its own. There an empty file holds the name for a moment.
    await (await open(path, 'wx')).close();
    try {
      await rename(temporary, path);
    } catch (unnamed) {
      await rm(path, { force: true });
      throw unnamed;
    }
  }
}

async function copyAndSync(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const file = await open(to, 'r+');
  await file.sync().finally(() => file.close());
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
