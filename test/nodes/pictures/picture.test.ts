import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import {
  encodePng,
  imageTensorToPictures,
  samplesToImageTensor,
  toImageTensor,
  writePng,
} from '../../../src/nodes/pictures/picture.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const picture = {
  width: 3,
  height: 2,
  rgb: Uint8Array.of(255, 0, 0, 0, 254, 0, 0, 0, 253, 1, 2, 3, 127, 128, 129, 250, 251, 252),
};

async function decodePng(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, rgb: new Uint8Array(data) };
}

describe('PNG', () => {
  test('gives back every pixel', async () => {
    expect(await decodePng(await encodePng(picture))).toEqual(picture);
  });

  test('a picture whose bytes do not fill it is our own mistake', async () => {
    await expect(encodePng({ ...picture, width: 4 })).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  test('a file is written over an older one, and nothing else is left beside it', async () => {
    const folder = await tempFolder();
    const file = join(folder, '000100.png');
    await writePng(file, { ...picture, rgb: new Uint8Array(18) });
    await writePng(file, picture);
    expect(await readdir(folder)).toEqual(['000100.png']);
    expect(await decodePng(await readFile(file))).toEqual(picture);
  });

  test('a file that cannot be written is named', async () => {
    const notAFolder = join(await tempFolder(), 'file');
    await writeFile(notAFolder, '');
    const file = join(notAFolder, 'a.png');
    await expect(writePng(file, picture)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      details: { file },
    });
  });
});

describe('image tensors', () => {
  test('a picture survives the way to a tensor and back', () => {
    const tensor = toImageTensor(picture);
    expect(tensor.shape).toEqual([1, 2, 3, 3]);
    expect(tensor.data[1 * 3 + 1]).toBe(Math.fround(254 / 255));
    expect(imageTensorToPictures(tensor)).toEqual([picture]);
  });

  test('every byte survives', () => {
    const ramp = { width: 16, height: 16, rgb: Uint8Array.from({ length: 768 }, (_, i) => i / 3) };
    expect(imageTensorToPictures(toImageTensor(ramp))).toEqual([ramp]);
  });

  test('a batch of grey images becomes one picture each, clamped', () => {
    const pictures = imageTensorToPictures(
      float32(Float32Array.of(0, 0.5, 1, -0.2, 1.3, Number.POSITIVE_INFINITY), [2, 1, 3, 1]),
    );
    expect(pictures.map((p) => [p.width, p.height, ...p.rgb])).toEqual([
      [3, 1, 0, 0, 0, 128, 128, 128, 255, 255, 255],
      [3, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255],
    ]);
  });

  test('channels move last, and [-1, 1] becomes [0, 1]', () => {
    // Two samples of 1 x 2 pixels: planes R, G, B.
    const samples = float32(
      Float32Array.of(-1, 1, -0.5, 0.5, 0, 0.25, 1, 1, 0, 0, -1, -1),
      [2, 3, 1, 2],
    );
    const images = samplesToImageTensor(samples);
    expect(images.shape).toEqual([2, 1, 2, 3]);
    expect([...images.data]).toEqual([0, 0.25, 0.5, 1, 0.75, 0.625, 1, 0.5, 0, 1, 0.5, 0]);
  });

  test('grey samples get three equal channels, and overshoot is clamped', () => {
    const images = samplesToImageTensor(float32(Float32Array.of(-1.5, 0.5, 7), [1, 1, 1, 3]));
    expect(images.shape).toEqual([1, 1, 3, 3]);
    expect([...images.data]).toEqual([0, 0, 0, 0.75, 0.75, 0.75, 1, 1, 1]);
  });

  test('NaN is refused with the number of its sample', () => {
    const values = Float32Array.of(0, 0, 0, Number.NaN);
    expect(() => samplesToImageTensor(float32(values, [2, 1, 1, 2]))).toThrow(
      expect.objectContaining({
        code: 'VALUE_OUT_OF_RANGE',
        message: expect.stringContaining('sample 1'),
      }),
    );
    expect(() => imageTensorToPictures(float32(values, [4, 1, 1, 1]))).toThrow(
      expect.objectContaining({
        code: 'VALUE_OUT_OF_RANGE',
        message: expect.stringContaining('image 3'),
      }),
    );
  });

  test.each([
    { shape: [2, 4, 1, 1], what: 'four channels' },
    { shape: [8], what: 'one axis' },
    { shape: [1, 1, 1, 2, 4], what: 'five axes' },
  ])('samples with $what are refused', ({ shape }) => {
    expect(() => samplesToImageTensor(float32(new Float32Array(8), shape))).toThrow(
      expect.objectContaining({ code: 'SHAPE_MISMATCH' }),
    );
  });

  test('images with two channels are refused', () => {
    expect(() => imageTensorToPictures(float32(new Float32Array(8), [2, 2, 1, 2]))).toThrow(
      expect.objectContaining({ code: 'SHAPE_MISMATCH' }),
    );
  });
});
