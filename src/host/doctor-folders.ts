/** @file Whether the folders can be read and written, and have room. */
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Roots } from '../nodes/node-context.ts';
import { foldersOf } from '../nodes/root-files.ts';
import type { Check } from './check.ts';

/** A run keeps several checkpoints, each three to four times its model. */
const LOW_BYTES = 2 ** 30;
/** Not even a small model and its checkpoints. */
const NO_ROOM_BYTES = 50 * 2 ** 20;

interface Options {
  readonly roots: Roots;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** The three folders, and the disk of the output folder. */
export async function checkFolders({ roots, environment }: Options): Promise<Check[]> {
  return [
    ...(await Promise.all(
      foldersOf(roots, 'models').map((folder) =>
        checkReadable('models', folder, 'FLOWSTEP_MODELS', environment),
      ),
    )),
    await checkWritable(roots.output),
    await checkReadable('data', roots.data, 'FLOWSTEP_DATA', environment),
    await checkDisk(roots.output),
  ];
}

async function checkReadable(
  name: string,
  folder: string,
  variable: string,
  environment: Options['environment'],
): Promise<Check> {
  const state = await folderState(folder);
  if (state === 'folder' && (await may(folder, constants.R_OK))) {
    return { name, status: 'ok', message: folder };
  }
  if (state === 'nothing' && environment[variable] === undefined) {
    return {
      name,
      status: 'ok',
      message: `${folder} is not there; only needed for files of yours`,
    };
  }
  const what = { folder: 'cannot be read', file: 'is not a folder', nothing: 'is not there' }[
    state
  ];
  return {
    name,
    status: 'warning',
    message: `${folder} ${what}`,
    hint: `Make it, or set ${variable} to a folder that may be read.`,
  };
}

async function checkWritable(folder: string): Promise<Check> {
  const name = 'output';
  const place = await nearestExisting(folder);
  const isUsable =
    (await folderState(place)) === 'folder' && (await may(place, constants.W_OK | constants.X_OK));
  if (!isUsable) {
    return {
      name,
      status: 'problem',
      message: `${folder} cannot be written`,
      hint: 'Set FLOWSTEP_OUTPUT to a folder that may be written.',
    };
  }
  const message = place === folder ? folder : `${folder} will be made`;
  return { name, status: 'ok', message };
}

async function checkDisk(folder: string): Promise<Check> {
  const name = 'disk';
  const { bavail, bsize } = await statfs(await nearestExisting(folder));
  const free = bavail * bsize;
  const message = `${(free / 2 ** 30).toFixed(1)} GiB free for ${folder}`;
  if (free >= LOW_BYTES) return { name, status: 'ok', message };
  return {
    name,
    status: free < NO_ROOM_BYTES ? 'problem' : 'warning',
    message,
    hint: 'Delete old runs, or set FLOWSTEP_OUTPUT to a folder on another disk.',
  };
}

async function folderState(path: string): Promise<'folder' | 'file' | 'nothing'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch {
    return 'nothing';
  }
}

async function nearestExisting(path: string): Promise<string> {
  const parent = dirname(path);
  return (await folderState(path)) !== 'nothing' || parent === path
    ? path
    : nearestExisting(parent);
}

async function may(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
