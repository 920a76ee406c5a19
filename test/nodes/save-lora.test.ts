/** Save Flow Model as a LoRA for ComfyUI, and the workflow that it writes beside it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { readObjectInfo } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { simpleShift } from '../../src/nodes/lora-workflow.ts';
import { readSafetensors, writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { studentGrid } from '../../src/trainer/flow/grid.ts';
import { makeContext, makeRoots } from './support.ts';
import { distilLora, latents, loadBase, putBase } from './text-support.ts';
import { run, trainTeacher } from './training-support.ts';

/** What ComfyUI tells of its own nodes. */
const PAIRS = new URL('../golden/pairs/object_info.json', import.meta.url);
const TYPES = readObjectInfo(JSON.parse(await readFile(PAIRS, 'utf8')), 'object_info.json');

let context: ReturnType<typeof makeContext>;
let teacher: unknown;

beforeEach(async () => {
  context = makeContext(await makeRoots());
  await putBase(context);
  teacher = await loadBase(context);
});

const save = (model: unknown, inputs: object = {}) =>
  run(
    'FlowstepSaveModel',
    { model, filename_prefix: 'fox', format: 'comfyui-lora', ...inputs },
    context,
  );

/** Inputs of the workflow's nodes in API form, by type. */
async function savedNodes(path = 'loras/fox_00001_.json') {
  const json: unknown = JSON.parse(await readFile(join(context.roots.output, path), 'utf8'));
  const { api } = convertUiWorkflow(json, TYPES, path);
  return Object.fromEntries(
    Object.values(api).map(({ class_type, inputs }) => [class_type, inputs]),
  );
}

describe('a LoRA for ComfyUI', () => {
  test('lies where its loaders look, with card and workflow, and is the student', async () => {
    const { outputs } = await distilLora(context, teacher);
    const saved = await save(outputs['student']);
    expect(saved.outputs).toEqual({ path: 'loras/fox_00001_.safetensors' });
    expect(saved.files).toEqual(['loras/fox_00001_.safetensors', 'loras/fox_00001_.json']);
    const folder = join(context.roots.output, 'loras');
    expect((await readdir(folder)).sort()).toEqual([
      'fox_00001_.json',
      'fox_00001_.md',
      'fox_00001_.safetensors',
    ]);
    const { tensors, metadata } = await readSafetensors(join(folder, 'fox_00001_.safetensors'));
    const up = 'lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight';
    expect(tensors.get(up)?.shape).toEqual([192, 2]);
    expect(metadata['ss_network_dim']).toBe('2');
    const again = await loadBase(context, { lora: 'loras/fox_00001_.safetensors' });
    expect((await latents(context, again)).data).toEqual(
      (await latents(context, outputs['student'])).data,
    );
    expect((await save(outputs['student'])).outputs).toEqual({
      path: 'loras/fox_00002_.safetensors',
    });
  });

  test('two that are saved at once: each with the workflow that runs it', async () => {
    const { outputs } = await distilLora(context, teacher);
    const both = await Promise.all([save(outputs['student']), save(outputs['student'])]);
    expect(both.map(({ files }) => files).sort()).toEqual([
      ['loras/fox_00001_.safetensors', 'loras/fox_00001_.json'],
      ['loras/fox_00002_.safetensors', 'loras/fox_00002_.json'],
    ]);
    for (const name of ['fox_00001_', 'fox_00002_']) {
      const nodes = await savedNodes(`loras/${name}.json`);
      expect(nodes['LoraLoaderModelOnly']).toMatchObject({ lora_name: `${name}.safetensors` });
    }
  });

  test('of one step is run by KSampler', async () => {
    await save((await distilLora(context, teacher)).outputs['student']);
    const nodes = await savedNodes();
    expect(nodes['UNETLoader']).toMatchObject({ unet_name: 'sd3/tiny.safetensors' });
    expect(nodes['LoraLoaderModelOnly']).toMatchObject({
      lora_name: 'fox_00001_.safetensors',
      strength_model: 1,
    });
    expect(nodes['EmptySD3LatentImage']).toEqual({ width: 32, height: 32, batch_size: 1 });
    expect(nodes['KSampler']).toMatchObject({
      steps: 1,
      cfg: 1,
      sampler_name: 'euler',
      scheduler: 'simple',
      denoise: 1,
    });
    expect(nodes).toHaveProperty('SaveImage');
  });

  test('of several steps has their shift; with fresh noise its sampler is lcm', async () => {
    const inputs = { student_steps: 4, shift: 2.5, transition: 'fresh' };
    await save((await distilLora(context, teacher, inputs)).outputs['student']);
    const nodes = await savedNodes();
    expect(nodes['ModelSamplingSD3']).toMatchObject({ shift: 2.5 });
    expect(nodes['KSampler']).toMatchObject({ steps: 4, sampler_name: 'lcm' });
  });

  test('from an earlier time has its times by hand', async () => {
    const { outputs } = await distilLora(context, teacher, { t_star: 0.97, student_steps: 2 });
    await save(outputs['student']);
    const nodes = await savedNodes();
    expect(nodes).not.toHaveProperty('KSampler');
    expect(nodes['ManualSigmas']).toEqual({ sigmas: '0.97, 0.485, 0' });
    expect(nodes['KSamplerSelect']).toEqual({ sampler_name: 'euler' });
    expect(nodes).toHaveProperty('SamplerCustomAdvanced');
  });

  test('on a checkpoint with text encoders takes them from there', async () => {
    await putBase(context, 'all.safetensors', { prefix: 'model.diffusion_model.' });
    const base = await loadBase(context, { file: 'all.safetensors' });
    await save((await distilLora(context, base)).outputs['student']);
    const nodes = await savedNodes();
    expect(nodes['CheckpointLoaderSimple']).toEqual({ ckpt_name: 'all.safetensors' });
    expect(nodes).not.toHaveProperty('TripleCLIPLoader');
  });

  test('on a base with a LoRA loads that one first, at its strength', async () => {
    await save((await distilLora(context, teacher)).outputs['student'], {
      filename_prefix: 'style',
    });
    // As another trainer's: without what Flowstep says of it.
    const style = 'loras/style_00001_.safetensors';
    const { tensors } = await readSafetensors(join(context.roots.output, style));
    await writeSafetensors(join(context.roots.models, 'style.safetensors'), tensors);
    const styled = await loadBase(context, { lora: 'style.safetensors', strength: 0.5 });
    const { outputs } = await distilLora(context, styled, { run_name: 'styled' });
    await save(outputs['student']);
    const file = join(context.roots.output, 'loras/fox_00001_.json');
    const json = JSON.parse(await readFile(file, 'utf8')) as {
      nodes: { type: string; widgets_values: unknown[] }[];
    };
    const loras = json.nodes.filter(({ type }) => type === 'LoraLoaderModelOnly');
    expect(loras.map(({ widgets_values: values }) => values)).toEqual([
      ['style.safetensors', 0.5],
      ['fox_00001_.safetensors', 1],
    ]);
  });
});

describe('what ComfyUI cannot run is refused', () => {
  const refusal = (message: RegExp) => ({
    code: 'MODEL_INVALID',
    message: expect.stringMatching(message),
    details: { field: 'format' },
  });

  test('a student that does not start from t* times the noise', async () => {
    const { outputs } = await distilLora(context, teacher, { t_star: 0.97, c_in: 1 });
    await expect(save(outputs['student'])).rejects.toMatchObject(
      refusal(/from 0\.97, and the student from c_in 1$/),
    );
    expect(await readdir(context.roots.output)).not.toContain('loras');
  });

  test('a student with weights of its own, and a teacher', async () => {
    const { outputs } = await distilLora(context, teacher, { lora_rank: 0 });
    await expect(save(outputs['student'])).rejects.toMatchObject(
      refusal(/a student with weights of its own, no LoRA/),
    );
    await expect(save(teacher)).rejects.toMatchObject(refusal(/a teacher, no LoRA/));
  });

  test('another network than Stable Diffusion 3', async () => {
    const other = (await trainTeacher(context)).outputs['model'];
    await expect(save(other)).rejects.toMatchObject(refusal(/a mlp is no Stable Diffusion 3/));
  });

  test('a name outside of the output folder', async () => {
    const { outputs } = await distilLora(context, teacher);
    await expect(save(outputs['student'], { filename_prefix: '../../fox' })).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
    });
  });
});

describe('the shift of a grid', () => {
  test.each([
    [2, 3],
    [3, 1],
    [4, 2.55],
  ])('of %i steps at %d is found', (steps, shift) => {
    expect(simpleShift(studentGrid(1, steps, shift))).toBe(shift);
  });

  test('is none for times of another kind', () => {
    expect(simpleShift([1, 0.9, 0.2])).toBeUndefined();
    expect(simpleShift(studentGrid(1, 4, 1.2345))).toBeUndefined();
    expect(simpleShift([0.97])).toBeUndefined();
  });
});
