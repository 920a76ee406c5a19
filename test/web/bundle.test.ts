import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { bundleOptions } from '../../scripts/web-bundle.ts';

const sources = fileURLToPath(new URL('../../src-web/', import.meta.url));

describe('the bundle', () => {
  test('is one script that asks ComfyUI for its own modules and nothing else', async () => {
    const { outputFiles, metafile } = await build({
      ...(await bundleOptions()),
      write: false,
      metafile: true,
    });
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
    expect(imported.map(({ path }) => path).sort()).toEqual(['/scripts/api.js', '/scripts/app.js']);
    expect(outputFiles).toHaveLength(1);
    expect(outputFiles[0]!.text).toContain('Copyright (c) 2022 Leon Sorokin');
  });
});

describe('the page code', () => {
  test('never makes HTML of text', async () => {
    const names = (await readdir(sources)).filter((name) => name.endsWith('.ts'));
    expect(names).toContain('panel.ts');
    for (const name of names) {
      expect(await readFile(sources + name, 'utf8'), name).not.toMatch(
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\b/,
      );
    }
  });
});
