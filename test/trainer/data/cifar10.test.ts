import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cifar10 } from '../../../src/trainer/data/cifar10.ts';
import { sha256 } from '../../../src/trainer/files/hash.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** One record: the class, and the value of each plane, red, green and blue; the first pixel is `label`. */
function record(label: number, planes: readonly [number, number, number]): Buffer {
  const pixels = planes.map((value) => Buffer.alloc(1024, value));
  pixels[0]![0] = label;
  return Buffer.concat([Buffer.of(label), ...pixels]);
}

const BATCHES = [1, 2, 3, 4, 5].map((n) =>
  Buffer.concat([record(n, [10, 20, 30]), record(n + 4, [40, 50, 60])]),
);

/** A data folder with the training files in `inside`. */
async function dataWith(inside: string): Promise<string> {
  const data = await tempFolder();
  await mkdir(join(data, inside), { recursive: true });
  for (const [i, bytes] of BATCHES.entries()) {
    await writeFile(join(data, inside, `data_batch_${i + 1}.bin`), bytes);
  }
  return data;
}

describe('cifar10', () => {
  test.each(['', 'cifar-10-batches-bin', 'cifar-10'])(
    'reads the five training files in "%s" of the data folder',
    async (inside) => {
      const set = await cifar10('train', await dataWith(inside), false);
      expect(set).toMatchObject({ name: 'cifar10/train', shape: [3, 32, 32], classes: 10 });
      expect(set.hash).toBe(sha256(...BATCHES));
      const { x, labels } = set.batch(1, 0, 200);
      const byte = (i: number, at: number) => Math.round((x[i * 3072 + at]! + 1) * 127.5);
      for (const [i, label] of labels!.entries()) {
        expect(byte(i, 0)).toBe(label);
        const planes = [byte(i, 1023), byte(i, 1024), byte(i, 3071)];
        expect(['10,20,30', '40,50,60']).toContain(planes.join());
      }
      expect(new Set(labels)).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8, 9]));
    },
  );

  test('reads the test file alone', async () => {
    const data = await tempFolder();
    await writeFile(join(data, 'test_batch.bin'), record(3, [1, 2, 3]));
    const set = await cifar10('test', data, false);
    expect(set.name).toBe('cifar10/test');
    expect([...set.batch(0, 0, 2).labels!]).toEqual([3, 3]);
  });

  test('is mirrored when that is asked for', async () => {
    const data = await tempFolder();
    await writeFile(join(data, 'test_batch.bin'), record(0, [9, 9, 9]));
    const { x } = (await cifar10('test', data, true)).batch(1, 0, 64);
    const corners = Array.from({ length: 64 }, (_, i) => [x[i * 3072], x[i * 3072 + 31]]);
    expect(new Set(corners.map(([left, right]) => Math.sign(left! - right!)))).toEqual(
      new Set([-1, 1]),
    );
  });

  test.each([
    { what: 'a cut file', bytes: BATCHES[0]!.subarray(0, -1), message: /6145 bytes.*3073/ },
    { what: 'an empty file', bytes: Buffer.alloc(0), message: /0 bytes/ },
    {
      what: 'a class that there is not',
      bytes: record(10, [1, 2, 3]),
      message: /record 0 has class 10/,
    },
  ])('refuses $what, naming it', async ({ bytes, message }) => {
    const data = await dataWith('');
    const file = join(data, 'data_batch_4.bin');
    await writeFile(file, bytes);
    await expect(cifar10('train', data, false)).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringMatching(message),
      details: { file },
    });
  });

  test('says what is missing, and how to get it', async () => {
    const data = await dataWith('cifar-10');
    await rm(join(data, 'cifar-10/data_batch_2.bin'));
    await expect(cifar10('train', data, false)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(/cifar-10 has only a part.*data_batch_2\.bin missing/),
    });
    await expect(cifar10('test', data, false)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining(data),
      hint: expect.stringContaining('cifar-10-binary.tar.gz'),
    });
  });
});
