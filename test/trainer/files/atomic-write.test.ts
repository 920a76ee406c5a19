import { link, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { atomicLink, atomicWrite, isTaken } from '../../../src/trainer/files/atomic-write.ts';
import { tempFolder } from '../../support/temp-folder.ts';

vi.mock('node:fs/promises', { spy: true });

const text = (s: string) => new TextEncoder().encode(s);

describe('atomicWrite', () => {
  test('puts the chunks in place of the old content', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    await writeFile(path, 'something old and long');
    await atomicWrite(path, [text('one, '), text(''), text('two')]);
    expect(await readFile(path, 'utf8')).toBe('one, two');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test('keeps the old content and leaves no other file when a chunk cannot be made', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    await writeFile(path, 'old');
    function* chunks() {
      yield text('new');
      throw new FlowstepError('NON_FINITE_LOSS', 'stop');
    }
    await expect(atomicWrite(path, chunks())).rejects.toMatchObject({ code: 'NON_FINITE_LOSS' });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test.each([
    { what: 'the folder does not exist', path: 'none/a.txt' },
    { what: 'the path is a folder', path: 'taken' },
  ])('says which file cannot be written: $what', async ({ path }) => {
    const folder = await tempFolder();
    await mkdir(join(folder, 'taken'));
    const full = join(folder, path);
    await expect(atomicWrite(full, [text('x')])).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining(full),
      details: { file: full },
    });
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

/** As exFAT and some network shares: no file has a second name. */
function withoutLinks() {
  const refused = Object.assign(new Error('EPERM: no links'), { code: 'EPERM' });
  vi.mocked(link).mockRejectedValue(refused);
}

afterEach(() => vi.mocked(link).mockReset());

describe('atomicWrite that replaces nothing', () => {
  const onlyNew = (path: string, content: string) =>
    atomicWrite(path, [text(content)], { replace: false });

  test.each([
    { where: 'a file system with links', prepare: () => undefined },
    { where: 'one without', prepare: withoutLinks },
  ])('on $where: a free name is written, a taken one stays and is told', async ({ prepare }) => {
    prepare();
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    await onlyNew(path, 'first');
    const error: unknown = await onlyNew(path, 'second').catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'FILE_UNWRITABLE', details: { file: path } });
    expect(isTaken(error)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('first');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test.each([
    { where: 'a file system with links', prepare: () => undefined },
    { where: 'one without', prepare: withoutLinks },
  ])('on $where: of many at once, one gets the name', async ({ prepare }) => {
    prepare();
    const folder = await tempFolder();
    const path = join(folder, 'a.txt');
    const all = Array.from({ length: 20 }, (_, i) => onlyNew(path, `content ${i}`));
    const ends = await Promise.allSettled(all);
    const first = ends.findIndex(({ status }) => status === 'fulfilled');
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const end of ends) expect(end.status === 'fulfilled' || isTaken(end.reason)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe(`content ${first}`);
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test('where the name cannot be given in the end, nothing has it', async () => {
    withoutLinks();
    vi.mocked(rename).mockRejectedValueOnce(Object.assign(new Error('EIO'), { code: 'EIO' }));
    const folder = await tempFolder();
    const error: unknown = await onlyNew(join(folder, 'a.txt'), 'x').catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(isTaken(error)).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  test('another failure is not a name that is taken', async () => {
    const folder = await tempFolder();
    const error: unknown = await onlyNew(join(folder, 'no/a.txt'), 'x').catch((thrown) => thrown);
    expect(isTaken(error)).toBe(false);
  });
});

describe('atomicLink', () => {
  test.each([
    { where: 'a file system with links', prepare: () => undefined, names: 2 },
    { where: 'one without', prepare: withoutLinks, names: 1 },
  ])('on $where: the second name replaces what had it, again too', async ({ prepare, names }) => {
    prepare();
    const folder = await tempFolder();
    const [file, path] = [join(folder, 'a.txt'), join(folder, 'b.txt')];
    await writeFile(file, 'new');
    await writeFile(path, 'old');
    for (const _ of [1, 2]) {
      await atomicLink(file, path);
      expect(await readFile(path, 'utf8')).toBe('new');
      expect((await readdir(folder)).sort()).toEqual(['a.txt', 'b.txt']);
      expect((await stat(path)).nlink).toBe(names);
    }
    // The second name stays when the first is written anew.
    await atomicWrite(file, [text('newer')]);
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  test('says which file cannot be written', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'b.txt');
    await expect(atomicLink(join(folder, 'none'), path)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      details: { file: path },
    });
    expect(await readdir(folder)).toEqual([]);
  });
});
