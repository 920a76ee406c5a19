import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadModelNode } from '../../src/nodes/load-model.ts';
import type { NodeContext } from '../../src/nodes/node-context.ts';
import { sha256OfFile } from '../../src/trainer/files/hash.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';

const OTHER = 'ab'.repeat(32);

/** A context whose models folder has m/teacher.safetensors, with its hash. */
async function withModel(): Promise<{ context: NodeContext; file: string; sha256: string }> {
  const context = makeContext(await makeRoots());
  const folder = join(context.roots.models, 'm');
  await mkdir(folder);
  const file = join(folder, 'teacher.safetensors');
  await saveModel(file, tinyModel(TINY_MLP));
  return { context, file, sha256: await sha256OfFile(file) };
}

const load = (context: NodeContext, inputs: object) =>
  loadModelNode.run({ file: 'm/teacher.safetensors', ...inputs }, context);

describe('a model file', () => {
  test('is named by root, path and hash', async () => {
    const { context, sha256 } = await withModel();
    const model = { type: 'FLOW_MODEL', root: 'models', path: 'm/teacher.safetensors', sha256 };
    expect((await load(context, {})).outputs).toEqual({ model });
    expect((await load(context, { sha256: sha256.toUpperCase() })).outputs).toEqual({ model });
  });

  test('is taken from the output folder where the models folder has none', async () => {
    const { context, file } = await withModel();
    await mkdir(join(context.roots.output, 'm'));
    await copyFile(file, join(context.roots.output, 'm/teacher.safetensors'));
    expect((await load(context, {})).outputs).toMatchObject({ model: { root: 'models' } });
    await rm(file);
    expect((await load(context, {})).outputs).toMatchObject({ model: { root: 'output' } });
  });

  test('with another hash is refused, and both hashes are told', async () => {
    const { context, sha256 } = await withModel();
    await expect(load(context, { sha256: OTHER, made_by: 'w.json' })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: `m/teacher.safetensors in the models folder is another file: its sha256 is ${sha256}, not ${OTHER}`,
      details: { field: 'sha256', hint: expect.stringContaining('`flowstep run w.json`') },
    });
    // Who has chosen another file in ComfyUI sees neither the input nor a command line.
    await expect(load(context, { sha256: OTHER, made_by: 'w.json' })).rejects.toMatchObject({
      details: { hint: expect.stringMatching(/^If you have .*"Show Advanced".* Templates/) },
    });
  });

  test('changes the fingerprint of the node when its content changes', async () => {
    const { context, file, sha256 } = await withModel();
    const inputs = { file: 'm/teacher.safetensors' };
    expect(await loadModelNode.fingerprint(inputs, context)).toBe(sha256);
    await saveModel(file, tinyModel(TINY_MLP, { tStar: 0.9, cIn: 0.9 }));
    expect(await loadModelNode.fingerprint(inputs, context)).toBe(await sha256OfFile(file));
  });
});

describe('a missing model', () => {
  test('is told with its hash, the folders and the workflow that makes it', async () => {
    const context = makeContext(await makeRoots());
    const { models, output } = context.roots;
    const hint = new RegExp(
      `^It was looked for in ${models} and in ${output}\\. Run \`flowstep run w/make\\.json\` to make it\\.`,
    );
    await expect(load(context, { sha256: OTHER, made_by: 'w/make.json' })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: `there is no model file m/teacher.safetensors (sha256 ${OTHER})`,
      details: { field: 'file', hint: expect.stringMatching(hint) },
    });
  });

  test('of which nothing more is known is told with the folders alone', async () => {
    const context = makeContext(await makeRoots());
    const { models, output } = context.roots;
    await expect(load(context, {})).rejects.toMatchObject({
      message: 'there is no model file m/teacher.safetensors',
      details: { hint: `It was looked for in ${models} and in ${output}.` },
    });
  });
});

test.each(['abc', 'g'.repeat(64)])('sha256 %j is no hash', async (sha256) => {
  const context = makeContext(await makeRoots());
  await expect(load(context, { sha256 })).rejects.toMatchObject({ code: 'WORKFLOW_INVALID' });
});
