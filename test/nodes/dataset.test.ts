import { execFile } from 'node:child_process';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { datasetNode, INPUTS_OF_SOURCE } from '../../src/nodes/dataset.ts';
import { openDataset } from '../../src/nodes/datasets.ts';
import { type FlowDatasetHandle, FlowDatasetSchema } from '../../src/nodes/handles.ts';
import type { NodeContext, Roots } from '../../src/nodes/node-context.ts';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { plainPng, writeFiles } from '../support/pictures.ts';
import { makeContext, makeRoots } from './support.ts';

/** Runs Flow Dataset; the handle goes through JSON, as it does between processes. */
async function name(inputs: object, context: NodeContext): Promise<FlowDatasetHandle> {
  const { outputs } = await datasetNode.run(inputs as Record<string, unknown>, context);
  return FlowDatasetSchema.parse(JSON.parse(JSON.stringify(outputs['dataset'])));
}

function contextWithNotices(roots: Roots) {
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  return { ...makeContext(roots), onNotice, notices };
}

/** Data of every source in the data folder, and the inputs that name it. */
const SOURCES: Record<string, (roots: Roots) => Promise<object>> = {
  folder: async ({ data }) => {
    await writeFiles(join(data, 'pets/small'), {
      'cats/a.png': await plainPng('#102030'),
      'cats/a.txt': 'a cat',
      'dogs/b.png': await plainPng('#405060'),
      'dogs/b.txt': 'a dog',
    });
    return { folder: './pets\\small/', size: 8, classes: 'folders', captions: 'files', flip: true };
  },
  cifar10: async ({ data }) => {
    await writeFile(join(data, 'test_batch.bin'), Buffer.alloc(2 * 3073, 5));
    return { split: 'test' };
  },
  latents: async ({ data }) => {
    const samples = float32(Float32Array.of(1, 2, 3, 4), [2, 2]);
    await writeSafetensors(join(data, 'l.safetensors'), new Map([['samples', samples]]));
    return { file: 'l.safetensors' };
  },
  images: async () => ({
    image: float32(new Float32Array(3 * 4 * 4 * 3).fill(0.25), [3, 4, 4, 3]),
    size: 0,
  }),
  moons: async () => ({}),
};

describe.each(Object.entries(SOURCES))('source %s', (source, prepare) => {
  test('gives a small handle that a fresh context opens as the same data', async () => {
    const roots = await makeRoots();
    const inputs = { source, ...(await prepare(roots)) };
    const handle = await name(inputs, makeContext(roots));
    expect(JSON.stringify(handle).length).toBeLessThan(500);
    expect(JSON.stringify(handle)).not.toContain(roots.data);
    const opened = await openDataset(handle, makeContext({ ...roots }));
    expect(opened.hash).toBe(handle.hash);
    const again = await openDataset(handle, makeContext({ ...roots }));
    expect(again.batch(1, 2, 30)).toEqual(opened.batch(1, 2, 30));
    expect(await name(inputs, makeContext(roots))).toEqual(handle);
  });

  test('reads no input but its own', async () => {
    const roots = await makeRoots();
    const inputs = { source, ...(await prepare(roots)) };
    const handle = await name(inputs, makeContext(roots));
    const others = {
      ...{ split: 'test', images: 'x', labels: 'x', folder: 'x', size: 24, channels: 'grey' },
      ...{ flip: true, classes: 'folders', captions: 'files', file: 'x' },
    };
    const own: readonly string[] = INPUTS_OF_SOURCE[source as keyof typeof INPUTS_OF_SOURCE];
    const changed = Object.entries(others).filter(([input]) => !own.includes(input));
    expect(changed.length).toBeGreaterThan(0);
    const again = { ...inputs, ...Object.fromEntries(changed) };
    expect(await name(again, makeContext(roots))).toEqual(handle);
  });
});

describe('a folder', () => {
  test('is named by its path below the data folder and what it is made into', async () => {
    const roots = await makeRoots();
    const inputs = await SOURCES['folder']!(roots);
    const handle = await name({ source: 'folder', ...inputs }, makeContext(roots));
    expect(handle).toEqual({
      type: 'FLOW_DATASET',
      kind: 'folder',
      folder: 'pets/small',
      size: 8,
      channels: 'rgb',
      classes: 'folders',
      captions: 'files',
      captionCount: 2,
      flip: true,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const set = await openDataset(handle, makeContext(roots));
    expect(set).toMatchObject({ name: 'pets/small', shape: [3, 8, 8], classes: 2 });
    expect(set.captions).toEqual(['a cat', 'a dog']);
  });

  test('opens in another process', async () => {
    const roots = await makeRoots();
    const inputs = await SOURCES['folder']!(roots);
    const handle = await name({ source: 'folder', ...inputs }, makeContext(roots));
    const script = `
      import { openDataset } from ${JSON.stringify(new URL('../../src/nodes/datasets.ts', import.meta.url).href)};
      const [handle, roots] = JSON.parse(process.argv[1]);
      const signal = new AbortController().signal;
      const set = await openDataset(handle, { roots, signal, onProgress() {} });
      console.log([...set.batch(1, 2, 3).labels].join());`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--import',
      'tsx',
      '--input-type=module',
      '--eval',
      script,
      JSON.stringify([handle, roots]),
    ]);
    const here = await openDataset(handle, makeContext(roots));
    expect(stdout.trim()).toBe([...here.batch(1, 2, 3).labels!].join());
  });

  test('that has changed is refused', async () => {
    const roots = await makeRoots();
    const inputs = await SOURCES['folder']!(roots);
    const handle = await name({ source: 'folder', ...inputs }, makeContext(roots));
    await writeFile(join(roots.data, 'pets/small/dogs/b.txt'), 'another dog');
    await expect(openDataset(handle, makeContext(roots))).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: expect.stringMatching(/pets\/small has changed since .*it has 2 samples now/),
      hint: expect.stringMatching(/^Put the data back.*Flow Dataset.*--run-name/),
    });
  });

  test('keeps its decoded pictures below the output folder, and writes nothing into the data', async () => {
    const roots = await makeRoots();
    await SOURCES['folder']!(roots);
    const before = await readdir(roots.data, { recursive: true });
    await name({ source: 'folder', folder: 'pets/small' }, makeContext(roots));
    expect(await readdir(join(roots.output, 'cache/datasets'))).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}\.safetensors$/),
    ]);
    expect(await readdir(roots.data, { recursive: true })).toEqual(before);
  });

  test('tells skipped pictures when it is named, not each time it is opened', async () => {
    const context = contextWithNotices(await makeRoots());
    await writeFiles(join(context.roots.data, 'mixed'), {
      'a.png': await plainPng('#808080'),
      'bad.png': 'no picture',
    });
    const handle = await name({ source: 'folder', folder: 'mixed' }, context);
    expect(context.notices).toEqual([expect.stringContaining('bad.png')]);
    await openDataset(handle, context);
    expect(context.notices).toHaveLength(1);
  });

  test('tells how far it is', async () => {
    const context = makeContext(await makeRoots());
    await writeFiles(join(context.roots.data, 'p'), {
      'a.png': await plainPng('#010101'),
      'b.png': await plainPng('#020202'),
    });
    await name({ source: 'folder', folder: 'p' }, context);
    // The end of each of the two passes is always told.
    const ends = context.events.filter((e) => e.kind === 'step' && e.step === e.steps);
    expect(ends).toHaveLength(2);
    for (const event of ends) expect(event).toMatchObject({ steps: 2, etaSeconds: 0 });
  });
});

describe('refuses', () => {
  test.each<[object, string, RegExp]>([
    [{ source: 'folder' }, 'DATASET_INVALID', /needs a name/],
    [{ source: 'folder', folder: 'none' }, 'FILE_NOT_FOUND', /none/],
    [{ source: 'folder', folder: '..' }, 'FILE_UNREADABLE', /not inside/],
    [{ source: 'folder', folder: '/' }, 'FILE_UNREADABLE', /not inside/],
    [{ source: 'folder', folder: 'a/../../b' }, 'FILE_UNREADABLE', /not inside/],
    [{ source: 'folder', folder: 'empty' }, 'DATASET_INVALID', /no pictures/],
    [{ source: 'folder', folder: 'link' }, 'FILE_UNREADABLE', /not inside/],
    [{ source: 'folder', folder: 'p', size: 2000 }, 'WORKFLOW_INVALID', /at most 1024/],
    [{ source: 'latents' }, 'DATASET_INVALID', /needs a file/],
    [{ source: 'latents', file: 'none.safetensors' }, 'FILE_NOT_FOUND', /none/],
    [{ source: 'cifar10' }, 'FILE_NOT_FOUND', /CIFAR-10 is not in/],
    [{ source: 'images' }, 'DATASET_INVALID', /none are connected/],
  ])('%j', async (inputs, code, message) => {
    const roots = await makeRoots();
    await mkdir(join(roots.data, 'empty'));
    await symlink(roots.output, join(roots.data, 'link'));
    await expect(name(inputs, makeContext(roots))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});

test('pictures that are connected but not asked for are told', async () => {
  const context = contextWithNotices(await makeRoots());
  const image = float32(new Float32Array(12), [1, 2, 2, 3]);
  const handle = await name({ source: 'moons', image }, context);
  expect(handle).toMatchObject({ kind: 'points', set: 'moons' });
  expect(context.notices).toEqual([expect.stringContaining('source is moons')]);
});

test('handles from before there was a choice of mirroring are still read', async () => {
  const old = { type: 'FLOW_DATASET', hash: 'h', kind: 'fashion-mnist', split: 'train' };
  expect(FlowDatasetSchema.parse(old)).toEqual(old);
});
