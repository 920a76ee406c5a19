import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nextOutputFiles } from '../../src/nodes/output-files.ts';
import { makeRoots } from './support.ts';

test('numbers go on after the greatest that is there, whatever its extension', async () => {
  const { output } = await makeRoots();
  await mkdir(join(output, 'sub'));
  for (const name of ['a_00007_.md', 'a_00002_.png', 'ab_00009_.png', 'a_x_.png']) {
    await writeFile(join(output, 'sub', name), '');
  }
  const files = await nextOutputFiles(output, 'sub/a', 'png', 2);
  expect(files.map((f) => f.path)).toEqual(['sub/a_00008_.png', 'sub/a_00009_.png']);
});

test('folders of the prefix are made', async () => {
  const { output } = await makeRoots();
  const [file] = await nextOutputFiles(output, 'x/y/z', 'png', 1);
  expect(file?.path).toBe('x/y/z_00001_.png');
});

test.each(['', '../a', '/tmp/a', 'a/', 'a/../../b', 'a\0'])(
  'prefix %j is refused',
  async (prefix) => {
    const { output } = await makeRoots();
    await expect(nextOutputFiles(output, prefix, 'png', 1)).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
    });
  },
);

test('a folder that is a link out of the output folder is refused', async () => {
  const { output, data } = await makeRoots();
  await symlink(data, join(output, 'away'));
  await expect(nextOutputFiles(output, 'away/a', 'png', 1)).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
  });
});
