import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DecodeOptions } from '../../../src/trainer/data/decode-picture.ts';
import { pictureBatch, storePictureBatch } from '../../../src/trainer/data/picture-batch.ts';
import { writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { float32, type Tensor } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const AS_IS = { size: 0, channels: 'rgb' } as const;

/** One picture of two pixels, as bytes over 255. */
const image = (...bytes: number[]) =>
  float32(
    Float32Array.from(bytes, (b) => b / 255),
    [1, 1, 2, bytes.length / 2],
  );

async function stored(images: Tensor<'float32'>, options: DecodeOptions) {
  const folder = join(await tempFolder(), 'cache');
  return pictureBatch(join(folder, await storePictureBatch(folder, images, options)), false);
}

/** The bytes of the only sample. */
const bytesOf = (set: Awaited<ReturnType<typeof stored>>) =>
  [...set.batch(0, 0, 1).x].map((v) => Math.round((v + 1) * 127.5));

describe('pictures of a graph', () => {
  test.each([
    { what: 'rgb', images: image(1, 2, 3, 251, 252, 253), expected: [1, 251, 2, 252, 3, 253] },
    { what: 'one channel', images: image(7, 9), expected: [7, 9, 7, 9, 7, 9] },
    { what: 'alpha', images: image(8, 9, 10, 255, 8, 9, 10, 0), expected: [8, 0, 9, 0, 10, 0] },
    {
      what: 'values beyond 0 and 1',
      images: image(-90, 0, 128, 400, 255, 2),
      expected: [0, 255, 0, 255, 128, 2],
    },
  ])('$what become samples [3, height, width]', async ({ images, expected }) => {
    const set = await stored(images, AS_IS);
    expect(set).toMatchObject({ shape: [3, 1, 2], classes: 0 });
    expect(bytesOf(set)).toEqual(expected);
  });

  test('are rounded to 8 bits', async () => {
    const images = float32(Float32Array.of(0.4 / 255, 0.6 / 255, 99.6 / 255), [1, 1, 1, 3]);
    expect(bytesOf(await stored(images, AS_IS))).toEqual([0, 1, 100]);
  });

  test('are resized, cropped and made grey as files are', async () => {
    const wide = float32(new Float32Array(2 * 4 * 12 * 3).fill(0.5), [2, 4, 12, 3]);
    const set = await stored(wide, { size: 6, channels: 'grey' });
    expect(set.shape).toEqual([1, 6, 6]);
    expect(new Set(bytesOf(set))).toEqual(new Set([128]));
  });

  test('have a file and a hash that follow from their contents', async () => {
    const folder = await tempFolder();
    const one = await storePictureBatch(folder, image(1, 2, 3, 4, 5, 6), AS_IS);
    expect(await storePictureBatch(folder, image(1, 2, 3, 4, 5, 6), AS_IS)).toBe(one);
    const other = await storePictureBatch(folder, image(1, 2, 3, 4, 5, 7), AS_IS);
    expect((await readdir(folder)).sort()).toEqual([one, other].sort());
    const hashes = await Promise.all(
      [one, other].map(async (file) => (await pictureBatch(join(folder, file), false)).hash),
    );
    expect(hashes[0]).not.toBe(hashes[1]);
  });

  test.each([
    { what: 'two channels', images: image(1, 2, 3, 4), code: 'DATASET_INVALID' },
    { what: 'none', images: float32(new Float32Array(), [0, 4, 4, 3]), code: 'DATASET_INVALID' },
    { what: 'NaN', images: image(1, 2, Number.NaN, 4, 5, 6), code: 'VALUE_OUT_OF_RANGE' },
  ])('refuses $what', async ({ images, code }) => {
    const folder = join(await tempFolder(), 'cache');
    await expect(storePictureBatch(folder, images, AS_IS)).rejects.toMatchObject({ code });
  });

  test('refuses a file that holds something else', async () => {
    const path = join(await tempFolder(), 'x.safetensors');
    await writeSafetensors(path, new Map([['samples', float32(new Float32Array(4), [2, 2])]]));
    await expect(pictureBatch(path, false)).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });
});
