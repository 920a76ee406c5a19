import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fashionMnist, findFashionMnist } from '../../../src/trainer/data/fashion-mnist.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const found = await findFashionMnist('test').catch(() => undefined);

describe('findFashionMnist', () => {
  test.each([
    { inside: '', suffix: '.gz' },
    { inside: 'fashion-mnist', suffix: '' },
  ])('finds files $suffix in FLOWSTEP_DATA/$inside', async ({ inside, suffix }) => {
    const data = await tempFolder();
    const folder = join(data, inside);
    await mkdir(folder, { recursive: true });
    const images = join(folder, `t10k-images-idx3-ubyte${suffix}`);
    const labels = join(folder, `t10k-labels-idx1-ubyte${suffix}`);
    await writeFile(images, '');
    await writeFile(labels, '');
    vi.stubEnv('FLOWSTEP_DATA', data);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await findFashionMnist('test')).toEqual({ images, labels });
  });

  test('says where it looked and how to get the files', async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, 'train-images-idx3-ubyte.gz'), 'alone, without labels');
    await expect(findFashionMnist('train', [folder])).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining(folder),
      hint: expect.stringContaining('apt-get install dataset-fashion-mnist'),
    });
  });
});

test.skipIf(!found)('the test part has 10,000 pictures of ten classes', async () => {
  const set = await fashionMnist('test');
  expect(set).toMatchObject({ name: 'fashion-mnist/test', shape: [1, 28, 28], classes: 10 });
  const { x, labels } = set.batch(1, 0, 1000);
  expect(x.length).toBe(1000 * 784);
  const { min, max } = x.reduce(
    (range, v) => ({ min: Math.min(range.min, v), max: Math.max(range.max, v) }),
    { min: 0, max: 0 },
  );
  expect([min, max]).toEqual([-1, 1]);
  expect(new Set(labels).size).toBe(10);
});
