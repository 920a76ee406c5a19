/** Flow Prompt Set: prompts from text encoders, files and other sets, as one file. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openPrompts, writePrompts } from '../../src/trainer/data/prompts.ts';
import { readSafetensors, writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { normals } from '../support/small-mmdit.ts';
import { makeContext, makeRoots } from './support.ts';
import { promptSet, TINY, texts } from './text-support.ts';
import { run } from './training-support.ts';

async function freshContext() {
  return makeContext(await makeRoots());
}

interface Ref {
  readonly root: 'output' | 'data';
  readonly path: string;
}

/** The tensors of a prompt set's file. */
async function contentOf(context: Awaited<ReturnType<typeof freshContext>>, prompts: unknown) {
  const { root, path } = prompts as Ref;
  const file = join(context.roots[root], path);
  const { tensors } = await readSafetensors(file);
  const set = await openPrompts(path, file);
  return { context: tensors.get('context'), pooled: tensors.get('pooled'), set };
}

const embeddings = (count: number, seed: number) => ({
  context: float32(normals(count * 3 * TINY.contextWidth, seed), [count, 3, TINY.contextWidth]),
  pooled: float32(normals(count * TINY.pooledWidth, seed + 1), [count, TINY.pooledWidth]),
});

test('texts come in their order, and the empty one is zeros unless it is given', async () => {
  const context = await freshContext();
  const given = texts(3, 100);
  const { set, ...plain } = await contentOf(
    context,
    await promptSet(context, { conditioning: given }),
  );
  expect(plain.context?.data).toEqual(Float32Array.from(given.flatMap(([text]) => [...text.data])));
  expect(plain.pooled?.data).toEqual(
    Float32Array.from(given.flatMap(([, { pooled_output }]) => [...pooled_output!.data])),
  );
  expect(set.count).toBe(3);
  expect(set.empty.context.data.every((x) => x === 0)).toBe(true);
  const [negative] = texts(1, 200);
  const { set: other } = await contentOf(
    context,
    await promptSet(context, { conditioning: given, negative: [negative] }),
  );
  expect(other.empty.context).toEqual(negative![0]);
  expect(other.empty.pooled).toEqual(negative![1].pooled_output);
});

test('a set that goes into another comes first, with its empty prompt', async () => {
  const context = await freshContext();
  const negative = texts(1, 200);
  const first = await promptSet(context, { conditioning: texts(2, 100), negative });
  const second = await promptSet(context, { conditioning: texts(1, 300), prompts: first });
  const { set } = await contentOf(context, second);
  const all = [...texts(2, 100), ...texts(1, 300)];
  const rows = await set.rows(Int32Array.of(0, 1, 2, -1));
  expect(rows.context.data).toEqual(
    Float32Array.from([...all, ...negative].flatMap(([text]) => [...text.data])),
  );
});

test('the same texts are the same file, in any later run', async () => {
  const context = await freshContext();
  const set = await promptSet(context);
  expect(await promptSet(context)).toEqual(set);
  expect(set).toMatchObject({
    type: 'FLOW_PROMPTS',
    root: 'output',
    path: expect.stringMatching(/^prompts\/[0-9a-f]{16}\.safetensors$/),
  });
  expect(await promptSet(context, { negative: texts(1, 200) })).not.toEqual(set);
});

test('a file alone is used where it lies, and with texts it comes first', async () => {
  const context = await freshContext();
  await mkdir(join(context.roots.data, 'foxes'));
  const file = 'foxes/prompts.safetensors';
  await writePrompts(join(context.roots.data, file), embeddings(2, 400), undefined);
  const alone = await run('FlowstepPromptSet', { file }, context);
  expect(alone.outputs['prompts']).toMatchObject({ root: 'data', path: file });
  const { set } = await contentOf(context, await promptSet(context, { file }));
  expect(set.count).toBe(6);
  const rows = await set.rows(Int32Array.of(1));
  expect(rows.pooled.data).toEqual(embeddings(2, 400).pooled.data.slice(TINY.pooledWidth));
});

test.each([
  ['nothing', { conditioning: undefined }, 'WORKFLOW_INVALID', 'conditioning'],
  ['a file that is not there', { file: 'no.safetensors' }, 'FILE_NOT_FOUND', undefined],
  ['a path out of the folders', { file: '../prompts.safetensors' }, 'FILE_UNREADABLE', undefined],
  [
    'texts of two lengths',
    { conditioning: [...texts(1, 1), ...texts(1, 2, { tokens: 5 })] },
    'SHAPE_MISMATCH',
    'conditioning',
  ],
  [
    'texts of two widths',
    { conditioning: [...texts(1, 1), ...texts(1, 2, { pooled: 9 })] },
    'SHAPE_MISMATCH',
    'conditioning',
  ],
  [
    'a longer negative text',
    { negative: texts(1, 2, { tokens: 5 }) },
    'SHAPE_MISMATCH',
    'negative',
  ],
  ['two negative texts', { negative: texts(2, 2) }, 'SHAPE_MISMATCH', 'negative'],
  [
    'a text without its pooled vector',
    { conditioning: [[texts(1, 1)[0]![0], {}]] },
    'SHAPE_MISMATCH',
    'conditioning',
  ],
])('%s is refused', async (_title, inputs, code, field) => {
  const context = await freshContext();
  await expect(promptSet(context, inputs)).rejects.toMatchObject({
    code,
    ...(field && { details: { field } }),
  });
});

test('a file that is no set of prompts is refused by name', async () => {
  const context = await freshContext();
  const { context: only } = embeddings(2, 1);
  await writeSafetensors(join(context.roots.data, 'odd.safetensors'), new Map([['context', only]]));
  await expect(promptSet(context, { file: 'odd.safetensors' })).rejects.toMatchObject({
    code: 'FILE_FORMAT',
    message: expect.stringContaining('there is no tensor pooled'),
  });
});
