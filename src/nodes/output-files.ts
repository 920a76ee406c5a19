/** @file Names for files that nodes write: PREFIX_00001_.png and on, as ComfyUI numbers them. */
import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { isTaken } from '../trainer/files/atomic-write.ts';
import { makeFolder } from '../trainer/files/make-folder.ts';
import { isInside } from './root-files.ts';

export interface OutputFile {
  /** Absolute. */
  readonly file: string;
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
}

/** The names in the output folder that nothing has now, without an end; `prefix` may name folders below it, which are made. */
export async function freeNames(
  output: string,
  prefix: string,
  extension: string,
): Promise<Iterator<OutputFile, never>> {
  const folder = await folderFor(output, prefix);
  const name = basename(prefix);
  const last = await lastNumber(folder, name);
  const root = await realpath(output);
  return namesAfter(last, (number) => {
    const file = join(folder, `${name}_${String(number).padStart(5, '0')}_.${extension}`);
    return { file, path: relative(root, file).split(sep).join('/') };
  });
}

/** The names with the numbers after the last that is there. */
export function* namesAfter(
  last: number,
  nameOf: (number: number) => OutputFile,
): Generator<OutputFile, never> {
  for (let number = last + 1; ; number++) yield nameOf(number);
}

/**
 * Writes to the next of the names: to the one after it when another process has taken it meanwhile. `write` must fail as
 * `isTaken` knows where the name is not free.
 */
export async function writeNew<T>(
  names: Iterator<OutputFile, never>,
  write: (target: OutputFile) => Promise<T>,
): Promise<T> {
  for (;;) {
    const { value } = names.next();
    try {
      return await write(value);
    } catch (error) {
      if (!isTaken(error)) throw error;
    }
  }
}

async function folderFor(output: string, prefix: string): Promise<string> {
  const target = resolve(output, prefix);
  const isPlain = prefix !== '' && !/[/\\]$/.test(prefix) && !prefix.includes('\0');
  if (!isPlain || isAbsolute(prefix) || !isInside(resolve(output), target)) throw outside(prefix);
  await makeFolder(dirname(target));
  // A link inside the output folder may lead out of it.
  const [root, folder] = await Promise.all([realpath(output), realpath(dirname(target))]);
  if (folder !== root && !isInside(root, folder)) throw outside(prefix);
  return folder;
}

function outside(prefix: string): FlowstepError {
  return new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `${JSON.stringify(prefix)} is no file name inside the output folder`,
    { field: 'filename_prefix', hint: 'Use a name such as "samples" or "folder/samples".' },
  );
}

/** The greatest N of any NAME_N_ in the folder, whatever follows; 0 when there is none. */
async function lastNumber(folder: string, name: string): Promise<number> {
  let last = 0;
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(`${name}_`)) continue;
    const number = /^(\d{1,12})_/.exec(entry.slice(name.length + 1))?.[1];
    if (number !== undefined) last = Math.max(last, Number(number));
  }
  return last;
}
