import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type PictureFolderOptions,
  pictureFolder,
} from '../../../src/trainer/data/picture-folder.ts';
import { plainPng, rawPicture } from '../../support/pictures.ts';
import { AS_IS, type Files, folderOf, openPets } from './support.ts';

describe('refuses', () => {
  const png = plainPng('#808080');

  test.each<{
    what: string;
    files: () => Promise<Files>;
    options?: Partial<PictureFolderOptions>;
    message: RegExp;
    hint?: RegExp;
  }>([
    {
      what: 'an empty folder',
      files: async () => ({}),
      message: /no pictures/,
      hint: /\.png/,
    },
    {
      what: 'a folder of other files',
      files: async () => ({ 'a.txt': 'text', 'b.bmp': 'BM' }),
      message: /no pictures/,
    },
    {
      what: 'mixed sizes, naming two',
      files: async () => ({
        'a.png': await plainPng('#808080', { width: 5, height: 4 }),
        'b.png': await plainPng('#808080', { width: 5, height: 4 }),
        'c.png': await plainPng('#808080', { width: 4, height: 5 }),
      }),
      message: /a\.png is 5 x 4, c\.png is 4 x 5/,
      hint: /size/,
    },
    {
      what: 'class folders where pictures lie beside them',
      files: async () => ({ 'cats/a.png': await png, 'loose.png': await png }),
      options: { classes: 'folders' },
      message: /loose\.png lies in none/,
      hint: /classes to none/,
    },
    {
      what: 'a class folder without a picture',
      files: async () => ({ 'cats/a.png': await png, 'dogs/a.txt': 'none' }),
      options: { classes: 'folders' },
      message: /class folder dogs/,
    },
    {
      what: 'a class folder with damaged pictures alone',
      files: async () => ({ 'cats/a.png': await png, 'cats/b.png': await png, 'dogs/a.png': 'x' }),
      options: { classes: 'folders' },
      message: /no picture can be read in class folder dogs/,
    },
    {
      what: 'missing captions, naming the first few',
      files: async () =>
        Object.fromEntries(
          await Promise.all(Array.from({ length: 7 }, async (_, i) => [`${i}.png`, await png])),
        ),
      options: { captions: 'files' },
      message: /7 of 7 pictures have no caption: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png and 2 more/,
      hint: /0\.txt.*captions to none/,
    },
    {
      what: 'a caption that is not UTF-8',
      files: async () => ({ 'a.png': await png, 'a.txt': Uint8Array.of(0x63, 0xe4, 0x74) }),
      options: { captions: 'files' },
      message: /a\.txt.*UTF-8/,
    },
    {
      what: 'a folder of nothing but damaged pictures',
      files: async () => ({ 'a.png': 'x', 'b.png': '', 'c.jpg': (await png).subarray(0, 40) }),
      message: /too many pictures cannot be decoded, 3 so far of 3: a\.png \(/,
    },
    {
      what: 'more damaged pictures than an accident explains',
      files: async () =>
        Object.fromEntries(
          await Promise.all(
            Array.from({ length: 30 }, async (_, i) => [`${i}.png`, i < 11 ? 'x' : await png]),
          ),
        ),
      message: /too many pictures cannot be decoded, 11 so far of 30/,
    },
  ])('$what', async ({ files, options = {}, message, hint = /./ }) => {
    const folder = await folderOf(await files());
    await expect(openPets(folder, options)).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });

  test('a folder that is not there, and a file', async () => {
    const folder = await folderOf({ 'a.png': await png });
    await expect(openPets(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(openPets(join(folder, 'a.png'))).rejects.toMatchObject({
      code: 'DATASET_INVALID',
    });
  });

  test('to go on once cancelled', async () => {
    const folder = await folderOf({ 'a.png': await png });
    const services = { cache: join(folder, '../cache'), signal: AbortSignal.abort() };
    await expect(pictureFolder('pets', folder, AS_IS, services)).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});

describe('tells', () => {
  test('which damaged pictures are left out, each time', async () => {
    const whole = await rawPicture(
      64,
      64,
      Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 37) % 256),
    )
      .jpeg()
      .toBuffer();
    const folder = await folderOf({
      'a.jpg': whole,
      'cut.jpg': whole.subarray(0, whole.length / 2),
      'empty.png': '',
    });
    for (const time of ['decoded', 'cached']) {
      const { notices } = await openPets(folder);
      expect(notices, time).toHaveLength(1);
      expect(notices[0], time).toMatch(
        /2 pictures .* left out: cut\.jpg \(.+\), empty\.png \(.+\)/,
      );
    }
  });

  test('which pictures have a format that it cannot read', async () => {
    const folder = await folderOf({
      'a.png': await plainPng('#808080'),
      'b.bmp': 'BM',
      'c.HEIC': '',
    });
    expect((await openPets(folder)).notices).toEqual([
      expect.stringMatching(/format.*b\.bmp, c\.HEIC/),
    ]);
  });

  test('which links it does not follow', async () => {
    const folder = await folderOf({ 'a.png': await plainPng('#808080') });
    await symlink(join(folder, 'a.png'), join(folder, 'b.png'));
    await symlink('..', join(folder, 'up'));
    expect((await openPets(folder)).notices).toEqual([expect.stringMatching(/links.*b\.png, up/)]);
  });

  test('how far it is: once through the files to name them, once to decode them', async () => {
    const folder = await folderOf({
      'a.png': await plainPng('#010101'),
      'b.png': await plainPng('#020202'),
    });
    const told: string[] = [];
    const services = {
      cache: join(folder, '../cache'),
      onProgress: (done: number, total: number) => told.push(`${done}/${total}`),
    };
    await pictureFolder('pets', folder, AS_IS, services);
    expect(told.splice(0)).toEqual(['1/2', '2/2', '1/2', '2/2']);
    await pictureFolder('pets', folder, AS_IS, services);
    expect(told).toEqual(['1/2', '2/2']);
  });
});
