/** Statistics are computed once, and a cache that is damaged or cannot be written costs nothing but time. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { FeatureStatistics } from '../../../src/trainer/metrics/feature-statistics.ts';
import { cachedStatistics } from '../../../src/trainer/metrics/statistics-cache.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const STATISTICS: FeatureStatistics = {
  count: 12,
  mean: Float64Array.of(1 / 3, -2),
  covariance: Float64Array.of(1, 0.1, 0.1, 2),
};

const compute = () => vi.fn(() => Promise.resolve(STATISTICS));

test('what was computed once is read the second time, the same to the bit', async () => {
  const folder = join(await tempFolder(), 'cache', 'metrics');
  const [first, second] = [compute(), compute()];
  expect(await cachedStatistics(folder, 'a', first)).toEqual({
    statistics: STATISTICS,
    isCached: false,
  });
  expect(await cachedStatistics(folder, 'a', second)).toEqual({
    statistics: STATISTICS,
    isCached: true,
  });
  expect(second).not.toHaveBeenCalled();
});

test('another key is another set', async () => {
  const folder = await tempFolder();
  await cachedStatistics(folder, 'a', compute());
  const other = compute();
  expect((await cachedStatistics(folder, 'b', other)).isCached).toBe(false);
  expect(other).toHaveBeenCalledOnce();
  expect(await readdir(folder)).toHaveLength(2);
});

test.each([
  ['a changed number', (bytes: Buffer) => (bytes[bytes.length - 1]! ^= 1)],
  ['a header that is none', (bytes: Buffer) => bytes.fill(255, 0, 8)],
])('a damaged file with %s is computed and written anew', async (_, damage) => {
  const folder = await tempFolder();
  await cachedStatistics(folder, 'a', compute());
  const file = join(folder, (await readdir(folder))[0]!);
  const bytes = await readFile(file);
  damage(bytes);
  await writeFile(file, bytes);
  const got = await cachedStatistics(folder, 'a', compute());
  expect(got).toMatchObject({ statistics: STATISTICS, isCached: false });
  expect(got.problem).toContain(file);
  expect(await cachedStatistics(folder, 'a', compute())).toMatchObject({ isCached: true });
});

test('a folder that cannot be made is told, and the statistics are given', async () => {
  const folder = join(await tempFolder(), 'file', 'metrics');
  await writeFile(join(folder, '..'), 'in the way');
  const got = await cachedStatistics(folder, 'a', compute());
  expect(got).toMatchObject({ statistics: STATISTICS, isCached: false });
  expect(got.problem).toBeDefined();
});

test('what is in the place of a file is told', async () => {
  const folder = await tempFolder();
  await cachedStatistics(folder, 'a', compute());
  const [name] = await readdir(folder);
  const other = await tempFolder();
  await mkdir(join(other, name!));
  expect((await cachedStatistics(other, 'a', compute())).problem).toBeDefined();
});
