import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { compiledRandom, moduleSource } from '../../../scripts/compiled-random.ts';

test('the module that ships is what its source compiles to', async () => {
  const file = new URL('../../../src/trainer/random/random-module.ts', import.meta.url);
  const shipped = await readFile(fileURLToPath(file), 'utf8');
  expect(moduleSource(await compiledRandom())).toBe(shipped);
});
