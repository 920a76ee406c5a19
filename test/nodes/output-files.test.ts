import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freeNames, writeNew } from '../../src/nodes/output-files.ts';
import { atomicWrite } from '../../src/trainer/files/atomic-write.ts';
import { makeRoots } from './support.ts';

test('numbers go on after the greatest that is there, whatever its extension', async () => {
  const { output } = await makeRoots();
  await mkdir(join(output, 'sub'));
  for (const name of ['a_00007_.md', 'a_00002_.png', 'ab_00009_.png', 'a_x_.png']) {
    await writeFile(join(output, 'sub', name), '');
  }
  const names = await freeNames(output, 'sub/a', 'png');
  const two = [names.next(), names.next()];
  expect(two.map(({ value }) => value.path)).toEqual(['sub/a_00008_.png', 'sub/a_00009_.png']);
});

test('folders of the prefix are made', async () => {
  const { output } = await makeRoots();
  const names = await freeNames(output, 'x/y/z', 'png');
  expect(names.next().value.path).toBe('x/y/z_00001_.png');
});

test.each(['', '../a', '/tmp/a', 'a/', 'a/../../b', 'a\0'])(
  'prefix %j is refused',
  async (prefix) => {
    const { output } = await makeRoots();
    await expect(freeNames(output, prefix, 'png')).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
    });
  },
);

test('a folder that is a link out of the output folder is refused', async () => {
  const { output, data } = await makeRoots();
  await symlink(data, join(output, 'away'));
  await expect(freeNames(output, 'away/a', 'png')).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
  });
});

test('a name that another process took meanwhile is left to it, and the next one written', async () => {
  const { output } = await makeRoots();
  const names = await freeNames(output, 'a', 'txt');
  await writeFile(join(output, 'a_00001_.txt'), 'theirs');
  const written = await writeNew(names, async ({ file, path }) => {
    await atomicWrite(file, [new TextEncoder().encode('ours')], { replace: false });
    return path;
  });
  expect(written).toBe('a_00002_.txt');
  expect((await readdir(output)).sort()).toEqual(['a_00001_.txt', 'a_00002_.txt']);
  expect(await readFile(join(output, 'a_00001_.txt'), 'utf8')).toBe('theirs');
});

test('what fails for another reason than its name is not tried under the next', async () => {
  const { output } = await makeRoots();
  const names = await freeNames(output, 'a', 'txt');
  let tries = 0;
  const write = async () => {
    tries++;
    throw new Error('full');
  };
  await expect(writeNew(names, write)).rejects.toThrow('full');
  expect(tries).toBe(1);
});
