import { statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder, makeNewFolder } from '../../../src/trainer/files/make-folder.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('makes the folders above it, and takes a folder that is there', async () => {
  const folder = join(await tempFolder(), 'a/b');
  await makeFolder(folder);
  await makeFolder(folder);
  expect(statSync(folder).isDirectory()).toBe(true);
});

test('a folder that must be new is made once', async () => {
  const folder = join(await tempFolder(), 'new');
  await makeNewFolder(folder);
  await expect(makeNewFolder(folder)).rejects.toMatchObject({
    code: 'FILE_UNWRITABLE',
    details: { file: folder, hint: expect.stringContaining('another folder') },
  });
});

test('a folder below a file is told by its name', async () => {
  const file = join(await tempFolder(), 'file');
  await writeFile(file, '');
  const folder = join(file, 'x');
  await expect(makeFolder(folder)).rejects.toMatchObject({
    code: 'FILE_UNWRITABLE',
    message: `the folder ${folder} cannot be made`,
    details: { file: folder },
  });
});
