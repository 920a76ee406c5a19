import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256 } from '../../../src/trainer/files/hash.ts';
import { knownSha256 } from '../../../src/trainer/files/known-hash.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('is that of the content, also after it has changed in every way', async () => {
  const folder = await tempFolder();
  const file = join(folder, 'a');
  await writeFile(file, 'one');
  expect(await knownSha256(file)).toBe(sha256('one'));
  expect(await knownSha256(file)).toBe(sha256('one'));
  // The same size, and the old time put back.
  const then = new Date(1e12);
  await utimes(file, then, then);
  await knownSha256(file);
  await writeFile(file, 'two');
  await utimes(file, then, then);
  expect(await knownSha256(file)).toBe(sha256('two'));
  // Another file in its place.
  await writeFile(join(folder, 'b'), 'six');
  await rename(join(folder, 'b'), file);
  expect(await knownSha256(file)).toBe(sha256('six'));
});

test('of a file that is not there', async () => {
  const file = join(await tempFolder(), 'none');
  await expect(knownSha256(file)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
});
