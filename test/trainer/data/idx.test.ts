import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { idxDataset, readIdx } from '../../../src/trainer/data/idx.ts';
import { sha256 } from '../../../src/trainer/files/hash.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** The bytes of an idx file; `type` 0x08 is unsigned bytes. */
function idxOf(shape: number[], data: number[], type = 0x08): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, type, shape.length]);
  for (const [d, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * d);
  return Buffer.concat([header, Buffer.from(data)]);
}

async function fileWith(bytes: Uint8Array, name = 'images'): Promise<string> {
  const path = join(await tempFolder(), name);
  await writeFile(path, bytes);
  return path;
}

const IMAGES = idxOf([3, 1, 2], [0, 255, 51, 204, 102, 153]);
const LABELS = idxOf([3], [4, 0, 2]);

describe('readIdx', () => {
  test.each([
    { what: 'plain', bytes: IMAGES },
    { what: 'compressed', bytes: gzipSync(IMAGES) },
  ])('reads a $what file', async ({ bytes }) => {
    const { shape, data, hash } = await readIdx(await fileWith(bytes));
    expect(shape).toEqual([3, 1, 2]);
    expect([...data]).toEqual([0, 255, 51, 204, 102, 153]);
    expect(hash).toBe(sha256(IMAGES));
  });

  test.each([
    { what: 'an empty file', bytes: Buffer.alloc(0) },
    { what: 'a cut header', bytes: IMAGES.subarray(0, 9) },
    { what: 'cut data', bytes: IMAGES.subarray(0, -1) },
    { what: 'bytes too many', bytes: Buffer.concat([IMAGES, Buffer.alloc(1)]) },
    { what: 'another magic number', bytes: Buffer.concat([Buffer.of(1), IMAGES.subarray(1)]) },
    { what: 'no dimensions', bytes: idxOf([], [1]) },
    { what: 'elements that are not bytes', bytes: idxOf([1], [0, 0, 0, 0], 0x0d) },
    { what: 'a shape beyond all memory', bytes: idxOf([2 ** 32 - 1, 2 ** 32 - 1, 9], []) },
    { what: 'a cut compressed file', bytes: gzipSync(IMAGES).subarray(0, -9) },
    { what: 'a damaged compressed file', bytes: Buffer.from('1f8b0800ffffffff', 'hex') },
  ])('refuses $what', async ({ bytes }) => {
    const path = await fileWith(bytes);
    await expect(readIdx(path)).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringContaining(path),
      details: { file: path },
    });
  });

  test('says that a file is missing', async () => {
    await expect(readIdx('/nowhere/images')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  test('arbitrary bytes are read or refused, never anything else', async () => {
    const path = await fileWith(IMAGES);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('', '1f8b08', '00000801', '00000803'),
        fc.uint8Array({ maxLength: 20 }),
        async (start, rest) => {
          await writeFile(path, Buffer.concat([Buffer.from(start, 'hex'), rest]));
          const result = await readIdx(path).catch((e: unknown) => e);
          if (result instanceof Error) expect(result).toBeInstanceOf(FlowstepError);
        },
      ),
    );
  });
});

describe('idxDataset', () => {
  test('gives pictures in [-1, 1] with their labels, drawn with replacement', async () => {
    const images = await fileWith(gzipSync(IMAGES));
    const labels = await fileWith(LABELS, 'labels');
    const set = await idxDataset('tiny', { images, labels });
    expect(set).toMatchObject({ name: 'tiny', shape: [1, 1, 2], classes: 5 });
    expect(set.hash).toBe(sha256(sha256(IMAGES), sha256(LABELS)));
    const batch = set.batch(1, 0, 300);
    const pictures = new Map<number, string>();
    for (const [i, label] of batch.labels!.entries()) {
      pictures.set(label, [...batch.x.subarray(2 * i, 2 * i + 2)].join());
    }
    const f = Math.fround;
    expect(Object.fromEntries(pictures)).toEqual({
      4: '-1,1',
      0: `${f(-0.6)},${f(0.6)}`,
      2: `${f(-0.2)},${f(0.2)}`,
    });
  });

  test('a batch is a function of seed and step', async () => {
    const set = await idxDataset('tiny', { images: await fileWith(IMAGES) });
    expect(set.classes).toBe(0);
    const batch = set.batch(1, 7, 50);
    expect(batch.labels).toBeUndefined();
    expect(set.batch(1, 7, 50)).toEqual(batch);
    expect(set.batch(1, 8, 50)).not.toEqual(batch);
    expect(set.batch(2, 7, 50)).not.toEqual(batch);
  });

  test('refuses labels for another number of pictures', async () => {
    const images = await fileWith(IMAGES);
    const labels = await fileWith(idxOf([2], [0, 1]), 'labels');
    await expect(idxDataset('tiny', { images, labels })).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringContaining(labels),
    });
  });

  test.each([
    { what: 'labels in place of pictures', bytes: LABELS },
    { what: 'no pictures at all', bytes: idxOf([0, 1, 2], []) },
  ])('refuses $what', async ({ bytes }) => {
    const images = await fileWith(bytes);
    await expect(idxDataset('tiny', { images })).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringContaining(images),
    });
  });
});
