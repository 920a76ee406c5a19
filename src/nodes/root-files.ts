/** @file Files named relative to a configured folder and by content, and the checks when they are opened. */
import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { knownSha256 } from '../trainer/files/known-hash.ts';
import { besideHash } from '../trainer/files/onnx-beside.ts';
import type { RootName, Roots } from './node-context.ts';

/** A file that any later process finds again, and notices when it has changed. */
export const FileRefSchema = z.strictObject({
  root: z.enum(['models', 'output', 'data']),
  /** Relative to the root, with forward slashes. */
  path: z.string().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

export type FileRef = z.infer<typeof FileRefSchema>;

/** The file of a model. */
export const ModelFileRefSchema = FileRefSchema.extend({
  /** `besideHash` of an .onnx file: of its declaration, and of weights in other files. */
  declaration: z.string().optional(),
});

export type ModelFileRef = z.infer<typeof ModelFileRefSchema>;

/** Names the file `path` below a root; hashes it. */
export async function nameFile(roots: Roots, root: RootName, path: string): Promise<FileRef> {
  const file = await resolveInside(roots, root, path);
  return { root, path: path.split(sep).join('/'), sha256: await knownSha256(file) };
}

/** The absolute path of a named file, after checking that it is still inside its root and unchanged. */
export async function openFile(roots: Roots, ref: FileRef): Promise<string> {
  let other: string | undefined;
  for await (const file of filesOf(roots, ref.root, ref.path)) {
    if ((await knownSha256(file)) === ref.sha256) return file;
    // Another folder may have a file of the same name, and it may be that one.
    other ??= file;
  }
  if (other === undefined) throw notFound(roots, ref.root, ref.path);
  throw changed(other, 'it has changed');
}

/** `openFile` for the file of a model, after checking also that what lies beside an .onnx file is unchanged. */
export async function openModelFile(roots: Roots, ref: ModelFileRef): Promise<string> {
  const file = await openFile(roots, ref);
  if ((await besideHash(file)) === ref.declaration) return file;
  throw changed(file, 'its declaration, or its weights in other files, has changed');
}

function changed(file: string, how: string): FlowstepError {
  return new FlowstepError('FILE_FORMAT', `${file} is not the file that was named: ${how}`, {
    file,
    hint: 'Put the file back as it was. For the one that is there now, run the node that names it again in a graph, or train with another --run-name on the command line.',
  });
}

/**
 * Links are followed before the check: a link inside a root that leads out of it is refused, as a
 * workflow from somebody else must not read the rest of the disk.
 */
export async function resolveInside(roots: Roots, root: RootName, path: string): Promise<string> {
  for await (const file of filesOf(roots, root, path)) return file;
  throw notFound(roots, root, path);
}

/** The files of that name in the folders of a root, in order. */
async function* filesOf(roots: Roots, root: RootName, path: string): AsyncGenerator<string> {
  for (const folder of foldersOf(roots, root)) {
    const file = await existingFile(folder, root, path);
    if (file !== undefined) yield file;
  }
}

function notFound(roots: Roots, root: RootName, path: string): FlowstepError {
  const wanted = resolve(roots[root], path);
  return new FlowstepError('FILE_NOT_FOUND', `there is no file ${wanted}`, {
    file: wanted,
    hint: `Paths are relative to the ${root} folder, ${foldersOf(roots, root).join(' or ')}; FLOWSTEP_${root.toUpperCase()} names another.`,
  });
}

/** The folders that a root stands for, absolute, in the order in which a file is looked for. */
export function foldersOf(roots: Roots, root: RootName): string[] {
  const more = { models: roots.moreModels, data: roots.moreData, output: undefined }[root];
  return [roots[root], ...(more ?? [])].map((folder) => resolve(folder));
}

/** The file with links followed; undefined when there is none. Throws when it is outside of the folder. */
async function existingFile(
  folder: string,
  root: RootName,
  path: string,
): Promise<string | undefined> {
  const wanted = resolve(folder, path);
  if (path === '' || path.includes('\0') || isAbsolute(path) || !isInside(folder, wanted)) {
    throw outside(root, path);
  }
  try {
    const file = await realpath(wanted);
    if (!isInside(await realpath(folder), file)) throw outside(root, path);
    return file;
  } catch (error) {
    if (error instanceof FlowstepError) throw error;
    return undefined;
  }
}

/** True when `file` lies below `folder`; both absolute. */
export function isInside(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function outside(root: RootName, path: string): FlowstepError {
  return new FlowstepError(
    'FILE_UNREADABLE',
    `${JSON.stringify(path)} is not inside the ${root} folder`,
    {
      hint: `Name a file by its path relative to the ${root} folder, without "..".`,
    },
  );
}
