/** LoRA through the nodes: distilled, sampled, loaded at a strength, gone on with, and refused on another base. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { FlowModelSchema } from '../../src/nodes/handles.ts';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { makeContext, makeRoots } from './support.ts';
import { distilLora, latents, loadBase, putBase } from './text-support.ts';
import { tiny, trainTeacher } from './training-support.ts';

let context: ReturnType<typeof makeContext>;
let teacher: unknown;

beforeEach(async () => {
  context = makeContext(await makeRoots());
  await putBase(context);
  teacher = await loadBase(context);
});

const STUDENT = 'runs/lora/student.safetensors';
/** What a handle names: the newest may be another one later. */
const FINISHED = 'runs/lora/steps/000000003/student.safetensors';

function largestGap(a: Float32Array, b: Float32Array): number {
  return a.reduce((gap, x, i) => Math.max(gap, Math.abs(x - b[i]!)), 0);
}

describe('a LoRA that FGM Distill has trained', () => {
  test('is the teacher with one file more, looks at t = 1, and is sampled', async () => {
    const { outputs, files } = await distilLora(context, teacher);
    const student = FlowModelSchema.parse(outputs['student']);
    const { type: _type, ...file } = student.loras![0]!.file as typeof student;
    expect(student).toEqual({ ...(teacher as object), loras: [{ file, strength: 1 }] });
    expect(file.path).toBe(FINISHED);
    expect(files).toEqual([STUDENT, 'runs/lora/online.safetensors']);
    const { metadata } = await readSafetensors(join(context.roots.output, STUDENT));
    const info = JSON.parse(metadata['flowstep.model']!);
    expect(info.student).toMatchObject({ tStar: 1, cIn: 1, grid: [1] });
    expect(info.lora.file).toBe('sd3/tiny.safetensors');
    expect(info.network).toMatchObject({ height: 4, width: 4 });
    expect((await latents(context, student)).shape).toEqual([2, 16, 4, 4]);
  });

  test('makes the same samples when Load Flow Model loads it by name', async () => {
    const { outputs } = await distilLora(context, teacher);
    const loaded = await loadBase(context, { lora: STUDENT });
    expect((await latents(context, loaded)).data).toEqual(
      (await latents(context, outputs['student'])).data,
    );
  });

  test('adds as much as its strength says', async () => {
    await distilLora(context, teacher);
    const at = async (strength: number) =>
      (await latents(context, await loadBase(context, { lora: STUDENT, strength }))).data;
    const steps = {
      steps: 1,
      latent: { samples: await latents(context, await loadBase(context, { lora: STUDENT })) },
    };
    const base = (await latents(context, teacher, steps, 'FlowstepTeacherSampler')).data;
    const [none, half, full] = [await at(0), await at(0.5), await at(1)];
    expect(largestGap(none, base)).toBeLessThan(1e-5);
    expect(largestGap(half, base)).toBeGreaterThan(1e-3);
    expect(largestGap(full, base)).toBeGreaterThan(largestGap(half, base));
  });

  test('goes on from its checkpoint to the bits of a run that was not stopped', async () => {
    const whole = await distilLora(context, teacher, { steps: 4, run_name: 'whole' });
    await distilLora(context, teacher, { steps: 2, checkpoint_every: 2 });
    const notices: string[] = [];
    const telling = { ...context, onNotice: (message: string) => notices.push(message) };
    const resumed = await distilLora(telling, teacher, { steps: 4, resume: 'must' });
    expect(notices).toContain('run lora goes on after step 2');
    for (const name of ['student', 'online']) {
      const of = async (run: string) =>
        (await readSafetensors(join(context.roots.output, 'runs', run, `${name}.safetensors`)))
          .tensors;
      expect(await of('lora')).toEqual(await of('whole'));
    }
    expect((await latents(context, resumed.outputs['student'])).data).toEqual(
      (await latents(context, whole.outputs['student'])).data,
    );
  });

  test('may be gone on with from its online flow, in a run of its own', async () => {
    const first = await distilLora(context, teacher);
    const online = first.outputs['online'];
    const { files } = await distilLora(context, teacher, { online, run_name: 'second' });
    expect(files?.[0]).toBe('runs/second/student.safetensors');
  });

  test('learns all weights when no rank is given, beside an online flow that is a LoRA', async () => {
    const { outputs } = await distilLora(context, teacher, { lora_rank: 0 });
    expect(FlowModelSchema.parse(outputs['student'])).toMatchObject({
      root: 'output',
      path: FINISHED,
    });
    expect((await latents(context, outputs['student'])).shape).toEqual([2, 16, 4, 4]);
  });

  test('has a card whose command names its base and its prompts', async () => {
    await distilLora(context, teacher);
    const card = await readFile(join(context.roots.output, 'runs/lora/student.md'), 'utf8');
    expect(card).toMatch(
      /^flowstep sample --model sd3\/tiny\.safetensors --lora student\.safetensors --prompts prompts\/[0-9a-f]{16}\.safetensors --count 16/m,
    );
    expect(card).toContain('**Load Flow Model** with this file as its `lora`');
    expect(card).toContain('# One-step LoRA of sd3/tiny.safetensors');
    expect(card).not.toContain('unknown.');
  });
});

describe('what is refused', () => {
  test('a LoRA on other weights', async () => {
    await distilLora(context, teacher);
    await putBase(context, 'sd3/other.safetensors', { seed: 500 });
    await expect(
      loadBase(context, { file: 'sd3/other.safetensors', lora: STUDENT }),
    ).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('was trained on other weights'),
    });
  });

  test('a LoRA on another network', async () => {
    await distilLora(context, teacher);
    await trainTeacher(context, { ...tiny });
    await expect(
      loadBase(context, { file: 'runs/teacher/teacher.safetensors', lora: STUDENT }),
    ).rejects.toMatchObject({ code: 'MODEL_INVALID' });
  });

  test('a LoRA that is not there, one that is none, and a LoRA as a model', async () => {
    await expect(loadBase(context, { lora: 'no.safetensors' })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      details: { field: 'lora' },
    });
    await expect(loadBase(context, { lora: 'sd3/tiny.safetensors' })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('not a LoRA for this network'),
    });
    await distilLora(context, teacher);
    await expect(loadBase(context, { file: STUDENT })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('it is nothing without its base'),
    });
  });

  test.each([
    ['a size that the model cannot make', { width: 4096, height: 4096 }, 'SHAPE_MISMATCH'],
    ['half a size', { height: 0 }, 'SHAPE_MISMATCH'],
    ['no prompts', { prompts: undefined }, 'WORKFLOW_INVALID'],
    ['layers that are not there', { lora_targets: 'nothing' }, 'VALUE_OUT_OF_RANGE'],
  ])('%s', async (_title, inputs, code) => {
    await expect(distilLora(context, teacher, inputs)).rejects.toMatchObject({ code });
  });
});
