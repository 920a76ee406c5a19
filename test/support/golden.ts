/**
 * @file Golden cases: numbers from other implementations that ours must agree with.
 *
 * A case is `NAME.json` with the tensors `NAME.PART.safetensors` beside it, or a folder with `list.json`. They come from
 * the folder FLOWSTEP_GOLDEN, and for kinds that it lacks from test/golden; every case found is used, whatever its name
 * after its kind.
 * The test of a kind is `golden-KIND.test.ts`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import type { Tensor } from '../../src/trainer/tensor.ts';

/** Kinds are the beginnings of names; of two that fit, the longer is meant. */
const KINDS = [
  'fgm',
  'edm',
  'sd3',
  'sd35',
  'lora',
  'metrics',
  'torch-noise',
  'bad-safetensors',
  'onnx-network',
];

const DEFAULT_FOLDER = fileURLToPath(new URL('../golden', import.meta.url));

export interface GoldenCase {
  readonly name: string;
  readonly kind: string;
  /** What the JSON file says; parse it with a schema of the fields that the test needs. */
  readonly sidecar: unknown;
  /** Path of a file that belongs to the case: `NAME.suffix`, or a file in the case's folder. */
  file(suffix: string): string;
  /** The tensors of `NAME.PART.safetensors`, `io` if not said otherwise. */
  tensors(part?: string): Promise<Map<string, Tensor>>;
}

/** All cases, or those of one kind; throws when there is none, so that no test passes for want of cases. */
export function goldenCases(kind?: string): GoldenCase[] {
  const named = process.env['FLOWSTEP_GOLDEN'];
  const first = named === undefined ? [] : findCases(resolve(named));
  if (named !== undefined && first.length === 0) throw new Error(`no golden case in ${named}`);
  const kinds = new Set(first.map((c) => c.kind));
  const all = [...first, ...findCases(DEFAULT_FOLDER).filter((c) => !kinds.has(c.kind))];
  const found = kind === undefined ? all : all.filter((c) => c.kind === kind);
  if (found.length === 0) throw new Error(`no golden case ${kind ?? ''}`);
  return found;
}

function findCases(folder: string): GoldenCase[] {
  const cases: GoldenCase[] = [];
  if (!existsSync(folder)) return cases;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && existsSync(join(path, 'list.json'))) {
      cases.push(goldenCase(entry.name, join(path, 'list.json'), (file) => join(path, file)));
    } else if (entry.name.endsWith('.json')) {
      const name = entry.name.slice(0, -'.json'.length);
      cases.push(goldenCase(name, path, (suffix) => join(folder, `${name}.${suffix}`)));
    }
  }
  return cases.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function goldenCase(name: string, json: string, file: (suffix: string) => string): GoldenCase {
  return {
    name,
    kind: kindOf(name),
    sidecar: JSON.parse(readFileSync(json, 'utf8')),
    file,
    tensors: async (part = 'io') => (await readSafetensors(file(`${part}.safetensors`))).tensors,
  };
}

/** An unknown kind is the name up to its first hyphen. */
function kindOf(name: string): string {
  const fitting = KINDS.filter((kind) => name === kind || name.startsWith(`${kind}-`));
  return fitting.sort((a, b) => b.length - a.length)[0] ?? name.replace(/-.*/, '');
}
