import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { adoptPaths } from '../../src/cli/adopt-paths.ts';
import type { Roots } from '../../src/nodes/node-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Files below and beside a data root. */
async function makeFiles(): Promise<{ roots: Roots; base: string }> {
  const base = await tempFolder();
  await mkdir(join(base, 'data/sub'), { recursive: true });
  await mkdir(join(base, 'other/deep'), { recursive: true });
  for (const file of ['data/sub/a', 'other/b', 'other/deep/c'])
    await writeFile(join(base, file), '');
  return { base, roots: { models: '/m', output: '/o', data: join(base, 'data') } };
}

test('a file below the root gets its name there', async () => {
  const { base, roots } = await makeFiles();
  expect(adoptPaths(roots, 'data', { images: join(base, 'data/sub/a'), labels: '' })).toEqual({
    roots,
    paths: { images: 'sub/a', labels: '' },
  });
});

test('files outside of it make the folder that holds them all the root', async () => {
  const { base, roots } = await makeFiles();
  const paths = { images: join(base, 'other/b'), labels: join(base, 'other/deep/c') };
  expect(adoptPaths(roots, 'data', paths)).toEqual({
    roots: { ...roots, data: join(base, 'other') },
    paths: { images: 'b', labels: 'deep/c' },
  });
});

test.each([['sub/a'], ['nowhere']])('the name %s stays as it is', async (name) => {
  const { roots } = await makeFiles();
  expect(adoptPaths(roots, 'data', { images: name })).toEqual({ roots, paths: { images: name } });
});
