/** @file How the front-end extension is bundled: src-web becomes web/flowstep.js, the one script that ComfyUI loads. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { BuildOptions } from 'esbuild';

/** Options of esbuild; throws when uPlot is not installed. */
export async function bundleOptions(): Promise<BuildOptions> {
  // uPlot's licence asks that its notice goes with every copy.
  const licence = await readFile(new URL('../node_modules/uplot/LICENSE', import.meta.url), 'utf8');
  return {
    absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
    entryPoints: ['src-web/flowstep.ts'],
    outfile: 'web/flowstep.js',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    loader: { '.css': 'text' },
    // ComfyUI serves these itself.
    alias: { 'comfy/app': '/scripts/app.js', 'comfy/api': '/scripts/api.js' },
    external: ['/scripts/*'],
    banner: { js: `/*! Flowstep, Apache-2.0. With uPlot:\n${licence.trim()}\n*/` },
  };
}
