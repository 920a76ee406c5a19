import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { atomicWrite } from '../../../src/trainer/files/atomic-write.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const text = (s: string) => new TextEncoder().encode(s);

describe('atomicWrite', () => {
  test('puts the chunks in place of the old content', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    await writeFile(path, 'something old and long');
    await atomicWrite(path, [text('one, '), text(''), text('two')]);
    expect(await readFile(path, 'utf8')).toBe('one, two');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test('keeps the old content and leaves no other file when a chunk cannot be made', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    await writeFile(path, 'old');
    function* chunks() {
      yield text('new');
      throw new FlowstepError('NON_FINITE_LOSS', 'stop');
    }
    await expect(atomicWrite(path, chunks())).rejects.toMatchObject({ code: 'NON_FINITE_LOSS' });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test.each([
    { what: 'the folder does not exist', path: 'none/a.txt' },
    { what: 'the path is a folder', path: 'taken' },
  ])('says which file cannot be written: $what', async ({ path }) => {
    const folder = await tempFolder();
    await mkdir(join(folder, 'taken'));
    const full = join(folder, path);
    await expect(atomicWrite(full, [text('x')])).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining(full),
      details: { file: full },
    });
    expect(await readdir(folder)).toEqual(['taken']);
  });
});
