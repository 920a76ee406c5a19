import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { latents } from '../../../src/trainer/data/latents.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../../../src/trainer/files/float16.ts';
import { writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { float32, type Tensor } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** Three latents [2, 1, 2], exact in every float type. */
const VALUES = Float32Array.from({ length: 12 }, (_, i) => i / 4 - 1.5);
const SHAPE = [3, 2, 1, 2];
const samples = float32(VALUES, SHAPE);

async function fileOf(tensors: Readonly<Record<string, Tensor>>): Promise<string> {
  const path = join(await tempFolder(), 'data.safetensors');
  await writeSafetensors(path, new Map(Object.entries(tensors)));
  return path;
}

describe('latents', () => {
  test.each<{ name: string; tensor: Tensor }>([
    { name: 'latents', tensor: samples },
    { name: 'samples', tensor: samples },
    { name: 'latents', tensor: { dtype: 'float16', shape: SHAPE, data: float32ToFloat16(VALUES) } },
    {
      name: 'samples',
      tensor: { dtype: 'bfloat16', shape: SHAPE, data: float32ToBfloat16(VALUES) },
    },
  ])('reads $name in $tensor.dtype as they are', async ({ name, tensor }) => {
    const set = await latents('vae', await fileOf({ [name]: tensor }));
    expect(set).toMatchObject({ name: 'vae', shape: [2, 1, 2], classes: 0 });
    const { x, labels } = set.batch(1, 0, 100);
    expect(labels).toBeUndefined();
    const rows = Array.from({ length: 100 }, (_, i) => x.subarray(4 * i, 4 * i + 4).join());
    expect(new Set(rows)).toEqual(
      new Set([0, 4, 8].map((from) => VALUES.subarray(from, from + 4).join())),
    );
  });

  test('the same values are the same data set in any float type', async () => {
    const half = { dtype: 'float16' as const, shape: SHAPE, data: float32ToFloat16(VALUES) };
    const one = await latents('a', await fileOf({ latents: samples }));
    const other = await latents('b', await fileOf({ latents: half }));
    expect(other.hash).toBe(one.hash);
  });

  test.each<Tensor>([
    { dtype: 'int64', shape: [3], data: BigInt64Array.of(4n, 0n, 2n) },
    { dtype: 'int32', shape: [3], data: Int32Array.of(4, 0, 2) },
  ])('reads labels in $dtype', async (labels) => {
    const set = await latents('vae', await fileOf({ latents: samples, labels }));
    expect(set.classes).toBe(5);
    const batch = set.batch(1, 0, 50);
    for (const [i, label] of batch.labels!.entries()) {
      expect(batch.x[4 * i]).toBe(VALUES[4 * [4, 0, 2].indexOf(label)]);
    }
    expect(set.hash).not.toBe((await latents('vae', await fileOf({ latents: samples }))).hash);
  });

  const int32 = (...data: number[]): Tensor => ({
    dtype: 'int32',
    shape: [data.length],
    data: Int32Array.from(data),
  });

  test.each<{ what: string; tensors: Record<string, Tensor>; message: RegExp }>([
    {
      what: 'other names',
      tensors: { x: samples, y: samples },
      message: /no tensor latents or samples; it holds x, y/,
    },
    { what: 'no tensors', tensors: {}, message: /it is empty/ },
    { what: 'one vector', tensors: { latents: float32(VALUES, [12]) }, message: /shape \[12\]/ },
    {
      what: 'no samples',
      tensors: { latents: float32(new Float32Array(), [0, 4]) },
      message: /\[0, 4\]/,
    },
    {
      what: 'bytes',
      tensors: { samples: { dtype: 'uint8', shape: [2, 2], data: new Uint8Array(4) } },
      message: /type U8/,
    },
    {
      what: 'a value that is not finite',
      tensors: { latents: float32(VALUES.with(9, Number.NaN), SHAPE) },
      message: /sample 2 of latents holds NaN/,
    },
    {
      what: 'labels for another number',
      tensors: { latents: samples, labels: int32(0, 1) },
      message: /labels has shape \[2\], but there are 3/,
    },
    {
      what: 'labels of floats',
      tensors: { latents: samples, labels: float32(new Float32Array(3), [3]) },
      message: /labels has type float32/,
    },
    {
      what: 'a label below 0',
      tensors: { latents: samples, labels: int32(0, -1, 1) },
      message: /label 1 is -1/,
    },
    {
      what: 'a label beyond all classes',
      tensors: { latents: samples, labels: int32(0, 100_000, 1) },
      message: /label 1 is 100000/,
    },
  ])('refuses $what', async ({ tensors, message }) => {
    const file = await fileOf(tensors);
    await expect(latents('vae', file)).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringMatching(message),
      details: { file, hint: expect.stringContaining('`latents`') },
    });
  });

  test('refuses what is no safetensors file', async () => {
    const path = join(await tempFolder(), 'latents.pt');
    await writeFile(path, 'PK\u0003\u0004 something else');
    await expect(latents('vae', path)).rejects.toMatchObject({ code: 'FILE_FORMAT' });
    await expect(latents('vae', `${path}.none`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
