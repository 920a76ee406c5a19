/** Train Flow Teacher from a model: its network, what is no start, and networks of others. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { writeOnnx } from '../../src/trainer/run/export-onnx.ts';
import { weightsHash } from '../../src/trainer/run/model.ts';
import { loadModel, saveModel } from '../../src/trainer/run/model-file.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';
import { normals } from '../support/small-mmdit.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';
import { distilLora, loadBase, promptSet, putBase } from './text-support.ts';
import { run, tiny, trainTeacher } from './training-support.ts';

let context: ReturnType<typeof makeContext>;

beforeEach(async () => {
  context = makeContext(await makeRoots());
});

async function loaded(file: string, inputs: object = {}) {
  return (await run('FlowstepLoadModel', { file, ...inputs }, context)).outputs['model'];
}

const trained = () => loadModel(join(context.roots.output, 'runs/teacher/teacher.safetensors'));

test('its network is trained, whatever preset is chosen', async () => {
  const start = tinyModel(TINY_MLP);
  await saveModel(join(context.roots.models, 't.safetensors'), start);
  await trainTeacher(context, { start: await loaded('t.safetensors'), network: 'mlp' });
  const { info } = await trained();
  expect(info.network).toEqual(TINY_MLP);
  expect(info.training['start']).toBe(weightsHash(start));
});

test('a network of others is trained on under its own names', async () => {
  await writeOnnx(join(context.roots.models, 't.onnx'), tinyModel(TINY_MLP));
  await trainTeacher(context, { start: await loaded('t.onnx') });
  const { info, parameters } = await trained();
  expect(info).toMatchObject({ role: 'teacher', network: { kind: 'onnx' } });
  expect(parameters.every(Number.isFinite)).toBe(true);
});

describe('a network of text', () => {
  const SIDE = 2;

  /** Latents of half the size that the model was made for, of the four prompts. */
  async function inputs() {
    await putBase(context);
    const size = 16 * SIDE * SIDE;
    const latents = float32(normals(8 * size, 1), [8, 16, SIDE, SIDE]);
    const data = Int32Array.from({ length: 8 }, (_, i) => i % 4);
    const tensors: [string, Tensor][] = [
      ['latents', latents],
      ['labels', { dtype: 'int32', shape: [8], data }],
    ];
    await writeSafetensors(join(context.roots.data, 'l.safetensors'), new Map(tensors));
    const named = { source: 'latents', file: 'l.safetensors' };
    const { outputs } = await run('FlowstepDataset', named, context);
    const prompts = await promptSet(context);
    return { dataset: outputs['dataset'], prompts, ...tiny, run_name: 'teacher' };
  }

  test('is trained at the size of the data where it can make it', async () => {
    const given = await inputs();
    await run('FlowstepTrainTeacher', { ...given, start: await loadBase(context) }, context);
    expect((await trained()).info.network).toMatchObject({ height: SIDE, width: SIDE });
  });

  test('with a LoRA that made a student of it is refused', async () => {
    const given = await inputs();
    const { outputs } = await distilLora(context, await loadBase(context));
    const start = outputs['student'];
    await expect(run('FlowstepTrainTeacher', { ...given, start }, context)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining(
        'runs/lora/steps/000000003/student.safetensors is a student',
      ),
      details: { field: 'start' },
    });
  });
});

describe('is refused', () => {
  test('a student', async () => {
    const student = tinyModel(TINY_MLP, { tStar: 0.9, cIn: 1 });
    await saveModel(join(context.roots.models, 's.safetensors'), student);
    const start = await loaded('s.safetensors');
    await expect(trainTeacher(context, { start })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('s.safetensors is a student, not a teacher'),
      hint: expect.stringContaining('FGM Distill'),
    });
  });

  test('a model of other samples than the data', async () => {
    await saveModel(join(context.roots.models, 't.safetensors'), tinyModel(TINY_DIT));
    const start = await loaded('t.safetensors');
    await expect(trainTeacher(context, { start })).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
      details: { field: 'start' },
    });
  });

  test('a file that has changed since it was named', async () => {
    const file = join(context.roots.models, 't.safetensors');
    await saveModel(file, tinyModel(TINY_MLP));
    const start = await loaded('t.safetensors');
    await writeFile(file, 'other');
    await expect(trainTeacher(context, { start })).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });
});
