import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nameFile, openFile } from '../../src/nodes/root-files.ts';
import { makeRoots } from './support.ts';

test('a named file is found again by path and content', async () => {
  const roots = await makeRoots();
  await mkdir(join(roots.models, 'sub'));
  await writeFile(join(roots.models, 'sub', 'a.bin'), 'abc');
  const ref = await nameFile(roots, 'models', 'sub/a.bin');
  expect(ref).toEqual({
    root: 'models',
    path: 'sub/a.bin',
    sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  });
  expect(await openFile(roots, ref)).toMatch(/sub\/a\.bin$/);
});

test('a file that has changed is refused', async () => {
  const roots = await makeRoots();
  await writeFile(join(roots.output, 'a.bin'), 'abc');
  const ref = await nameFile(roots, 'output', 'a.bin');
  await writeFile(join(roots.output, 'a.bin'), 'abd');
  await expect(openFile(roots, ref)).rejects.toMatchObject({
    code: 'FILE_FORMAT',
    hint: expect.stringMatching(/^Put the file back.*node that names it.*--run-name/),
  });
});

test.each(['../secret', '/etc/passwd', 'sub/../../secret', '', '.', 'a\0b'])(
  'path %j outside the root is refused',
  async (path) => {
    const roots = await makeRoots();
    await writeFile(join(roots.models, '..', 'secret'), 'x');
    await expect(nameFile(roots, 'models', path)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
  },
);

test('a link that leads out of the root is refused', async () => {
  const roots = await makeRoots();
  await writeFile(join(roots.data, 'secret'), 'x');
  await symlink(join(roots.data, 'secret'), join(roots.models, 'harmless'));
  await expect(nameFile(roots, 'models', 'harmless')).rejects.toMatchObject({
    code: 'FILE_UNREADABLE',
  });
});

test('a link within the root is followed', async () => {
  const roots = await makeRoots();
  await writeFile(join(roots.models, 'real'), 'x');
  await symlink(join(roots.models, 'real'), join(roots.models, 'alias'));
  expect(await nameFile(roots, 'models', 'alias')).toMatchObject({ path: 'alias' });
});

test('a model is taken from the first models folder that has it', async () => {
  const roots = await makeRoots();
  const more = join(roots.data, 'more');
  const both = { ...roots, moreModels: [join(roots.data, 'nowhere'), more] };
  await mkdir(more);
  await writeFile(join(more, 'a.bin'), 'second');
  expect(await openFile(both, await nameFile(both, 'models', 'a.bin'))).toBe(join(more, 'a.bin'));
  await writeFile(join(roots.models, 'a.bin'), 'first');
  expect(await openFile(both, await nameFile(both, 'models', 'a.bin'))).toBe(
    join(roots.models, 'a.bin'),
  );
  await expect(nameFile(both, 'output', 'a.bin')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  await expect(nameFile(both, 'models', 'no.bin')).rejects.toMatchObject({
    hint: expect.stringContaining(more),
  });
});

test('a missing file says where it was looked for', async () => {
  const roots = await makeRoots();
  await expect(nameFile(roots, 'models', 'no.bin')).rejects.toMatchObject({
    code: 'FILE_NOT_FOUND',
    hint: expect.stringContaining(roots.models),
  });
});
