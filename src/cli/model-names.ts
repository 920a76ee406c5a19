/** @file Model files as people type them, in place of the names that Load Flow Model takes. */
import { existsSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import type { Roots } from '../nodes/node-context.ts';
import { isInside } from '../nodes/root-files.ts';
import { adoptPaths } from './adopt-paths.ts';

export interface NamedModels {
  /** By the keys of the paths. */
  readonly names: Readonly<Record<string, string>>;
  /** The folders in which Load Flow Model finds them. */
  readonly roots: Roots;
}

/** Files in the output folder, or in further folders of models, keep theirs; the others' folder becomes that of the models. */
export function nameModels(paths: Readonly<Record<string, string>>, before: Roots): NamedModels {
  const kept: Record<string, string> = {};
  const others: Record<string, string> = {};
  for (const [key, path] of Object.entries(paths)) {
    const name = nameElsewhere(path, before);
    if (name === undefined) others[key] = path;
    else kept[key] = name;
  }
  const { roots, paths: adopted } = adoptPaths(before, 'models', others);
  return { names: { ...adopted, ...kept }, roots };
}

/** The name by which a file is found that does not lie in the first folder of models. */
function nameElsewhere(file: string, roots: Roots): string | undefined {
  const path = resolve(file);
  const elsewhere = [...(roots.moreModels ?? []), roots.output];
  // In the order in which Load Flow Model looks.
  const folders = [roots.models, ...elsewhere];
  for (const folder of elsewhere.filter((holder) => existsSync(path) && isInside(holder, path))) {
    const name = relative(folder, path).split(sep).join('/');
    if (folders.find((other) => existsSync(join(other, name))) === folder) return name;
  }
  return undefined;
}
