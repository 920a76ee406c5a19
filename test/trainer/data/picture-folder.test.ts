import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { plainPng, rawPicture } from '../../support/pictures.ts';
import { folderOf, openPets } from './support.ts';

/** The bytes of the only picture of a set. */
function only(set: Dataset): number[] {
  return [...set.batch(0, 0, 1).x].map((v) => Math.round((v + 1) * 127.5));
}

/** Bytes of the first pixel of each picture that a set has, with its label. */
function colours(set: Dataset): string[] {
  const { x, labels } = set.batch(1, 0, 200);
  const size = x.length / 200;
  const drawn = Array.from({ length: 200 }, (_, i) =>
    [Math.round((x[i * size]! + 1) * 127.5), ...(labels ? [labels[i]!] : [])].join(':'),
  );
  return [...new Set(drawn)].sort();
}

describe('pictures become samples', () => {
  // Two rows of three pixels; planes are red, green, blue.
  const RGB = [10, 20, 30, 11, 21, 31, 12, 22, 32, 13, 23, 33, 14, 24, 34, 15, 25, 35];
  const PLANES = [10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35];

  test.each([
    { name: 'a.png', file: () => rawPicture(3, 2, RGB).png() },
    { name: 'a.webp', file: () => rawPicture(3, 2, RGB).webp({ lossless: true }) },
    { name: 'A.GIF', file: () => rawPicture(3, 2, RGB).gif() },
    { name: 'a.tiff', file: () => rawPicture(3, 2, RGB).tiff({ compression: 'lzw' }) },
    { name: 'a.avif', file: () => rawPicture(3, 2, RGB).avif({ lossless: true }) },
  ])('$name keeps every value, as [channels, height, width]', async ({ name, file }) => {
    const { set } = await openPets(await folderOf({ [name]: await file().toBuffer() }));
    expect(set).toMatchObject({ name: 'pets', shape: [3, 2, 3], classes: 0 });
    expect(only(set)).toEqual(PLANES);
  });

  test('a JPEG is about what it was', async () => {
    const jpeg = await sharp(await plainPng('#c86432'))
      .jpeg({ quality: 100 })
      .toBuffer();
    const values = only((await openPets(await folderOf({ 'a.jpeg': jpeg }))).set);
    for (const [plane, expected] of [200, 100, 50].entries()) {
      expect(Math.abs(values[16 * plane]! - expected)).toBeLessThanOrEqual(2);
    }
  });

  test('is turned as its EXIF orientation says', async () => {
    // 6: the top of the picture is stored at its left.
    const turned = await rawPicture(3, 2, RGB)
      .withMetadata({ orientation: 6 })
      .tiff({ compression: 'none' })
      .toBuffer();
    const { set } = await openPets(await folderOf({ 'a.tif': turned }));
    expect(set.shape).toEqual([3, 3, 2]);
    expect(only(set).slice(0, 6)).toEqual([13, 10, 14, 11, 15, 12]);
  });

  test('transparent parts are black', async () => {
    const rgba = Uint8Array.of(200, 100, 50, 255, 200, 100, 50, 0);
    const png = await sharp(rgba, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect(only((await openPets(await folderOf({ 'a.png': png }))).set)).toEqual([
      200, 0, 100, 0, 50, 0,
    ]);
  });

  test('grey pictures become rgb, and colour becomes grey', async () => {
    const grey = await sharp(Uint8Array.of(3, 250), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect(only((await openPets(await folderOf({ 'a.png': grey }))).set)).toEqual([
      3, 250, 3, 250, 3, 250,
    ]);
    const folder = await folderOf({ 'a.png': await plainPng('#ff0000') });
    const { set } = await openPets(folder, { channels: 'grey' });
    expect(set.shape).toEqual([1, 4, 4]);
    // Red has about a fifth of the luminance of white, which is 127 after sRGB's curve.
    expect(Math.abs(only(set)[0]! - 127)).toBeLessThan(2);
  });

  test('the short side is resized and the middle kept; small pictures are enlarged', async () => {
    // Bars of red, green, blue, 8 pixels each: the middle of the picture is green.
    const bars = await rawPicture(
      24,
      8,
      Array.from({ length: 24 * 8 }, (_, i) =>
        [0, 1, 2].map((c) => ((i % 24) >> 3 === c ? 255 : 0)),
      ).flat(),
    )
      .png()
      .toBuffer();
    const folder = await folderOf({ 'bars.png': bars, 'green.png': await plainPng('#00ff00') });
    for (const size of [2, 6, 16]) {
      const { set } = await openPets(folder, { size });
      expect(set.shape).toEqual([3, size, size]);
      const { x } = set.batch(1, 0, 20);
      for (let i = 0; i < 20; i++) {
        const centre = (size >> 1) * size + (size >> 1);
        const pixel = [0, 1, 2].map((c) => x[(i * 3 + c) * size * size + centre]!);
        expect(pixel[1]).toBeGreaterThan(0.85);
        expect(pixel[0]).toBeLessThan(-0.85);
        expect(pixel[2]).toBeLessThan(-0.85);
      }
    }
  });

  test('are found at any depth; hidden files and other files are not looked at', async () => {
    const { set, notices } = await openPets(
      await folderOf({
        'x/y/z/a.png': await plainPng('#010101'),
        'b.PNG': await plainPng('#020202'),
        '.hidden/c.png': await plainPng('#030303'),
        '._b.png': 'resource fork',
        'notes.txt': 'text',
      }),
    );
    expect(colours(set)).toEqual(['1', '2']);
    expect(notices).toEqual([]);
  });
});

describe('classes and captions', () => {
  test('folders at the top are classes in the order of their names', async () => {
    const folder = await folderOf({
      'dogs/deep/a.png': await plainPng('#0a0a0a'),
      'cats/a.png': await plainPng('#141414'),
      'cats/b.png': await plainPng('#1e1e1e'),
      'Zebras/a.png': await plainPng('#282828'),
    });
    const { set } = await openPets(folder, { classes: 'folders' });
    expect(set.classes).toBe(3);
    expect(colours(set)).toEqual(['10:2', '20:1', '30:1', '40:0']);
  });

  test('captions are the texts beside the pictures, in their order', async () => {
    const folder = await folderOf({
      'b.png': await plainPng('#010101'),
      'b.txt': '\ufeffa grey cat, sitting\n',
      'a/x.jpg.png': await plainPng('#020202'),
      'a/x.jpg.txt': '',
    });
    const { set } = await openPets(folder, { captions: 'files' });
    expect(set.captions).toEqual(['', 'a grey cat, sitting']);
    expect((await openPets(folder)).set.captions).toBeUndefined();
  });

  test('the captions of skipped pictures go with them', async () => {
    const folder = await folderOf({
      'a.png': await plainPng('#010101'),
      'a.txt': 'one',
      'b.png': 'damaged',
      'b.txt': 'two',
      'c.png': await plainPng('#030303'),
      'c.txt': 'three',
    });
    const opened = async () => (await openPets(folder, { captions: 'files' })).set;
    expect((await opened()).captions).toEqual(['one', 'three']);
    expect(colours(await opened())).toEqual(['1', '3']);
    // Once more, now from the cache.
    expect((await opened()).captions).toEqual(['one', 'three']);
  });
});
