/** @file Paths as people type them, in place of the root-relative names that nodes take. */
import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { RootName, Roots } from '../nodes/node-context.ts';
import { isInside } from '../nodes/root-files.ts';

export interface AdoptedPaths {
  readonly roots: Roots;
  /** The same keys, as names below the root. */
  readonly paths: Readonly<Record<string, string>>;
}

/**
 * Names the files below the root. Files outside of it make the folder that holds them all the root
 * for this command; a name of a file below the root stays, and so does that of a file that is nowhere.
 */
export function adoptPaths(
  roots: Roots,
  root: RootName,
  paths: Readonly<Record<string, string>>,
): AdoptedPaths {
  const typed = Object.entries(paths).filter(([, path]) => path !== '');
  const isName = (path: string) =>
    !existsSync(resolve(path)) && existsSync(join(roots[root], path));
  const files = typed
    .filter(([, path]) => existsSync(resolve(path)))
    .map(([key, path]) => [key, resolve(path)] as const);
  if (files.length < typed.length && !typed.every(([, path]) => isName(path))) {
    // Something is missing: the node says what, and where it looked.
    return { roots, paths };
  }
  const isBelow = files.every(([, file]) => isInside(roots[root], file));
  const folder = isBelow ? roots[root] : commonFolder(files.map(([, file]) => file));
  const named = files.map(([key, file]) => [key, relative(folder, file).split(sep).join('/')]);
  return {
    roots: { ...roots, [root]: folder },
    paths: { ...paths, ...Object.fromEntries(named) },
  };
}

/** The deepest folder that holds all files. */
function commonFolder(files: readonly string[]): string {
  let folder = dirname(files[0]!);
  while (!files.every((file) => isInside(folder, file))) folder = dirname(folder);
  return folder;
}
