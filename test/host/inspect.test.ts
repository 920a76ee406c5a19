/** What `flowstep inspect` finds in files; that it is shown to people is tested with the command. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspect } from '../../src/host/inspect.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { TINY_MLP } from '../support/tiny-models.ts';
import { makeFiles } from './file-fixtures.ts';

test('a model: what it is, its settings and its tensors', async () => {
  const files = await makeFiles();
  expect(await inspect(files.model, files)).toMatchObject({
    kind: 'model',
    file: files.model,
    title: 'One-step student on none',
    sampleShape: [2],
    model: { role: 'student', student: { tStar: 0.97, grid: [0.97] } },
    metadata: { 'modelspec.architecture': 'flowstep-mlp-v1-student' },
    elements: parameterList(TINY_MLP).size,
    dtypes: { F32: 6 },
    tensors: expect.arrayContaining([{ name: 'net.2.bias', dtype: 'F32', shape: [2] }]),
  });
});

test('a safetensors file that is no model of ours', async () => {
  const files = await makeFiles();
  expect(await inspect(files.lora, files)).toMatchObject({
    kind: 'safetensors',
    metadata: { ss_network_dim: '2' },
    elements: 6,
    tensors: [{ name: 'a.lora_up.weight', dtype: 'F32', shape: [3, 2] }],
  });
});

test('a checkpoint, and the run that it belongs to', async () => {
  const files = await makeFiles();
  const run = await inspect(files.run, files);
  if (run.kind !== 'run') return expect.unreachable();
  expect(run).toMatchObject({
    name: 'tiny',
    node: 'FlowstepTrainTeacher',
    outcome: 'finished',
    step: 6,
    steps: 6,
    metrics: { 'loss/teacher': expect.any(Number) },
    configuration: { seed: 3 },
  });
  expect(run.checkpoints.map(({ step }) => step)).toEqual([4, 6]);
  expect(await inspect(join(files.run, 'run.json'), files)).toEqual(run);
  expect(await inspect(run.checkpoints[0]!.file, files)).toMatchObject({
    kind: 'checkpoint',
    checkpoint: { step: 4, identity: run.identity },
  });
});

test('an ONNX file', async () => {
  const files = await makeFiles();
  expect(await inspect(files.onnx, files)).toMatchObject({
    kind: 'onnx',
    inputs: [{ name: 'x', dtype: 'float32' }],
  });
});

test('a workflow, alone and in a picture; what it lacks is among its issues', async () => {
  const files = await makeFiles();
  const whole = {
    nodes: [{ id: '1', type: 'FlowstepLoadModel' }, { id: '2' }, { id: '3' }],
    models: [{ node: '1', file: 'tiny.safetensors', path: files.model }],
    issues: [],
  };
  expect(await inspect(files.workflow, files)).toMatchObject({ kind: 'workflow', ...whole });
  expect(await inspect(files.picture, files)).toMatchObject({
    kind: 'picture',
    width: 3,
    height: 2,
    workflow: whole,
  });
  await rename(files.model, `${files.model}.bak`);
  expect(await inspect(files.picture, files)).toMatchObject({
    workflow: {
      models: [{ path: undefined }],
      issues: [{ node: '1', message: 'there is no model file tiny.safetensors' }],
    },
  });
});

test('a picture without a workflow', async () => {
  const files = await makeFiles();
  const found = await inspect(files.plainPicture, files);
  expect(found).toMatchObject({ kind: 'picture', texts: {} });
  expect(found).not.toHaveProperty('workflow');
});

test('kinds are told by content, not by name', async () => {
  const files = await makeFiles();
  const renamed = join(files.roots.data, 'x.onnx');
  await rename(files.picture, renamed);
  expect(await inspect(renamed, files)).toMatchObject({ kind: 'picture' });
});

test.each([
  ['nothing of that name', 'none', 'FILE_NOT_FOUND', /no such file/],
  ['a folder that is no run', '.', 'FILE_FORMAT', /folder without run.json/],
  ['text', 'text.txt', 'FILE_FORMAT', /none of the files that are known here/],
  ['a cut safetensors file', 'cut.safetensors', 'FILE_FORMAT', /not a valid safetensors file/],
])('%s is refused', async (_, name, code, message) => {
  const files = await makeFiles();
  await writeFile(join(files.roots.data, 'text.txt'), 'hello, world');
  await writeFile(join(files.roots.data, 'cut.safetensors'), 'abc');
  await expect(inspect(join(files.roots.data, name), files)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
});
