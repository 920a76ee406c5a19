/** @file Bundles the front-end extension: src-web becomes web/flowstep.js, the one script that ComfyUI loads. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
// uPlot's licence asks that its notice goes with every copy.
const licence = await readFile(new URL('../node_modules/uplot/LICENSE', import.meta.url), 'utf8');

await build({
  absWorkingDir: root,
  entryPoints: ['src-web/flowstep.ts'],
  outfile: 'web/flowstep.js',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  loader: { '.css': 'text' },
  alias: { 'comfy/app': '/scripts/app.js', 'comfy/api': '/scripts/api.js' },
  external: ['/scripts/*'],
  banner: { js: `/*! Flowstep, Apache-2.0. With uPlot:\n${licence.trim()}\n*/` },
});
