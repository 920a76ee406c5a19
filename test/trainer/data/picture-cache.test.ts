import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { contentHash } from '../../../src/trainer/data/content-hash.ts';
import {
  type PictureFolderOptions,
  pictureFolder,
} from '../../../src/trainer/data/picture-folder.ts';
import { readSafetensors, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { plainPng, writeFiles } from '../../support/pictures.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const OPTIONS: PictureFolderOptions = {
  size: 2,
  channels: 'rgb',
  flip: false,
  classes: 'none',
  captions: 'none',
};

let base: string;
let folder: string;
let cache: string;

beforeEach(async () => {
  base = await tempFolder();
  folder = join(base, 'pictures');
  cache = join(base, 'output', 'cache');
  await writeFiles(folder, {
    'one/a.png': await plainPng('#0a0a0a'),
    'one/b.png': await plainPng('#141414'),
  });
});

/** Opens the folder; says what was told, and whether the pictures were decoded. */
async function open(options: Partial<PictureFolderOptions> = {}, at = folder) {
  const notices: string[] = [];
  let calls = 0;
  let files = 0;
  const set = await pictureFolder(
    'pets',
    at,
    { ...OPTIONS, ...options },
    {
      cache,
      onNotice: (message) => notices.push(message),
      onProgress: (_done, total) => {
        calls++;
        files = total;
      },
    },
  );
  return { set, notices, isDecoded: calls > files };
}

async function cacheFile(): Promise<string> {
  const [name, ...more] = await readdir(cache);
  expect(more).toEqual([]);
  return join(cache, name!);
}

/** Makes the cached samples all `byte`, with a hash that says they are right. */
async function poison(byte: number): Promise<void> {
  const path = await cacheFile();
  const { tensors, metadata } = await readSafetensors(path);
  const { shape, data } = tensors.get('samples')!;
  const samples = new Uint8Array(data.length).fill(byte);
  await writeSafetensors(
    path,
    new Map([['samples', { dtype: 'uint8' as const, shape, data: samples }]]),
    {
      ...metadata,
      sha256: contentHash('', samples),
    },
  );
}

describe('the cache of decoded pictures', () => {
  test('is what an unchanged folder is read from', async () => {
    const first = await open();
    expect(first.isDecoded).toBe(true);
    await poison(255);
    const again = await open();
    expect(again.isDecoded).toBe(false);
    expect(again.set.hash).toBe(first.set.hash);
    expect(again.set.shape).toEqual([3, 2, 2]);
    expect(new Set(again.set.batch(1, 0, 8).x)).toEqual(new Set([1]));
  });

  test('gives the same batches as decoding', async () => {
    const decoded = (await open()).set;
    const cached = (await open()).set;
    expect(cached.batch(3, 4, 50)).toEqual(decoded.batch(3, 4, 50));
  });

  test.each<{ what: string; change: () => Promise<Partial<PictureFolderOptions>> }>([
    { what: 'another size', change: async () => ({ size: 3 }) },
    { what: 'other channels', change: async () => ({ channels: 'grey' as const }) },
    {
      what: 'a changed picture',
      change: async () => {
        await writeFile(join(folder, 'one/a.png'), await plainPng('#0b0b0b'));
        return {};
      },
    },
    {
      what: 'a new picture',
      change: async () => {
        await writeFile(join(folder, 'one/c.png'), await plainPng('#0a0a0a'));
        return {};
      },
    },
    {
      what: 'a picture of another name',
      change: async () => {
        await cp(join(folder, 'one/a.png'), join(folder, 'one/z.png'));
        await rm(join(folder, 'one/a.png'));
        return {};
      },
    },
  ])('is not used for $what, which is another data set', async ({ change }) => {
    const before = await open();
    await poison(255);
    const after = await open(await change());
    expect(after.isDecoded).toBe(true);
    expect(after.set.hash).not.toBe(before.set.hash);
    expect(after.set.batch(1, 0, 4).x.some((v) => v === 1)).toBe(false);
  });

  test('is used for new captions, classes and flips of the same pictures, which are other data sets', async () => {
    const hashes = [(await open()).set.hash];
    await writeFiles(folder, { 'one/a.txt': 'a', 'one/b.txt': 'b' });
    const changes: Partial<PictureFolderOptions>[] = [
      { captions: 'files' },
      { classes: 'folders' },
      { flip: true },
    ];
    for (const change of changes) {
      const { set, isDecoded } = await open(change);
      expect(isDecoded).toBe(false);
      hashes.push(set.hash);
    }
    await writeFile(join(folder, 'one/a.txt'), 'another');
    hashes.push((await open({ captions: 'files' })).set.hash);
    expect(new Set(hashes).size).toBe(5);
  });

  test('and the hash know nothing of where the folder lies or when its files were written', async () => {
    const first = await open();
    const copy = join(base, 'elsewhere');
    await cp(folder, copy, { recursive: true });
    const second = await open({}, copy);
    expect(second.isDecoded).toBe(false);
    expect(second.set.hash).toBe(first.set.hash);
  });

  test('and the hash do not depend on how a system spells accents', async () => {
    const png = await plainPng('#0a0a0a');
    const hashes: string[] = [];
    for (const [i, spelling] of ['NFC', 'NFD'].entries()) {
      const at = join(base, `spelling-${i}`);
      await writeFiles(at, { ['\u00e9t\u00e9.png'.normalize(spelling)]: png, 'f.png': png });
      hashes.push((await open({}, at)).set.hash);
    }
    expect(hashes[1]).toBe(hashes[0]);
  });

  test.each<{ what: string; damage: (bytes: Buffer) => Buffer }>([
    { what: 'cut short', damage: (bytes) => bytes.subarray(0, -1) },
    { what: 'empty', damage: () => Buffer.alloc(0) },
    {
      what: 'changed by one bit',
      damage: (bytes) => {
        const copy = Buffer.from(bytes);
        copy[copy.length - 1]! ^= 1;
        return copy;
      },
    },
  ])('is made again when its file is $what', async ({ damage }) => {
    const first = (await open()).set.batch(1, 0, 20);
    const path = await cacheFile();
    const good = await readFile(path);
    await writeFile(path, damage(good));
    const { set, notices, isDecoded } = await open();
    expect(isDecoded).toBe(true);
    expect(set.batch(1, 0, 20)).toEqual(first);
    expect(notices).toEqual([expect.stringContaining(path)]);
    expect(await readFile(path)).toEqual(good);
  });

  test('is made again when it holds another number of pictures', async () => {
    await open();
    const path = await cacheFile();
    const { metadata } = await readSafetensors(path);
    const data = new Uint8Array(12);
    await writeSafetensors(
      path,
      new Map([['samples', { dtype: 'uint8' as const, shape: [1, 3, 2, 2], data }]]),
      { ...metadata, sha256: contentHash('', data) },
    );
    expect((await open()).isDecoded).toBe(true);
  });

  test('that cannot be written costs a notice, not the data set', async () => {
    await mkdir(join(base, 'output'));
    await writeFile(cache, 'a file where the folder should be');
    const { set, notices } = await open();
    expect(set.shape).toEqual([3, 2, 2]);
    expect(notices).toEqual([expect.stringContaining('not kept')]);
    expect((await stat(cache)).isFile()).toBe(true);
  });
});
