/** @file Stable Diffusion 3 in the real ComfyUI: its own network and samplers against ours, on tiny checkpoints of the exact architecture. */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readObjectInfo } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { SD3_FORMS, type Sd3Form } from '../../src/trainer/files/sd3-checkpoint.ts';
import type { Tensor } from '../../src/trainer/tensor.ts';
import { writeTinySd3 } from '../support/tiny-sd3.ts';
import type { ComfyClient, Prompt } from './comfy-client.ts';
import { ComfyUi, NO_COMFYUI, PACK } from './comfyui.ts';
import { workflowFile } from './prompts.ts';
import { deltaNorm, largestGap, velocity } from './sd3-figures.ts';
import {
  idsOf,
  kSampler,
  type Link,
  node,
  ourSampler,
  TEXT,
  typesOf,
  unetLoader,
  withoutText,
} from './sd3-prompts.ts';

if (NO_COMFYUI) console.warn(`skipped: ${NO_COMFYUI}`);

/** Of the pictures that the student is trained on and makes; the steps are what a test has time for. */
const SIDE = 64;
const STEPS = 200;

/** Largest differences that are rounding, relative to the largest value. */
const VELOCITY_GAP = 1e-4;
const LATENT_GAP = 1e-3;

const fileOf = (form: Sd3Form) => `tiny-${form}.safetensors`;
const BASE = fileOf('SD3.5-medium');
/** With a prefix, as a file has it that holds text encoders too. */
const CHECKPOINT = 'tiny-checkpoint.safetensors';

describe.skipIf(NO_COMFYUI)('Stable Diffusion 3 in the real ComfyUI', () => {
  let comfy: ComfyUi;
  let client: ComfyClient;

  beforeAll(async () => {
    comfy = await ComfyUi.start({ packs: [join(PACK, 'test/comfyui/sd3_pack')] });
    client = await comfy.connect();
    const models = join(comfy.folder, 'models');
    await mkdir(join(models, 'diffusion_models'), { recursive: true });
    await mkdir(join(models, 'checkpoints/sub'), { recursive: true });
    for (const form of SD3_FORMS) {
      await writeTinySd3(join(models, 'diffusion_models', fileOf(form)), form);
    }
    const options = { prefix: 'model.diffusion_model.' };
    await writeTinySd3(join(models, 'checkpoints/sub', CHECKPOINT), 'SD3.5-medium', options);
  });

  afterAll(async () => {
    client[Symbol.dispose]();
    await comfy[Symbol.asyncDispose]();
  });

  /** Runs the prompt; throws what the node that failed says. */
  async function run(prompt: Prompt) {
    const { entry } = await client.run(prompt);
    const error = entry.status.messages.find(([type]) => type === 'execution_error')?.[1];
    if (error) throw new Error(`${error['node_type']}: ${error['exception_message']}`);
    return entry;
  }

  /** What ComfyUI's own node writes of the LATENTs, by name. */
  async function latentsOf(prompt: Prompt, outputs: Readonly<Record<string, Link>>) {
    const savers = Object.entries(outputs).map(([name, samples]) => [
      `save-${name}`,
      { class_type: 'SaveLatent', inputs: { samples, filename_prefix: `latents/${name}` } },
    ]);
    await run({ ...prompt, ...(Object.fromEntries(savers) as Prompt) });
    const folder = join(comfy.folder, 'output/latents');
    const files = (await readdir(folder)).sort();
    const found = new Map<string, Tensor<'float32'>>();
    for (const name of Object.keys(outputs)) {
      const file = files.filter((one) => one.startsWith(`${name}_`)).at(-1)!;
      const { tensors } = await readSafetensors(join(folder, file));
      found.set(name, tensors.get('latent_tensor') as Tensor<'float32'>);
    }
    return (name: string) => found.get(name)!;
  }

  test.each(SD3_FORMS)("%s has the velocity of ComfyUI's own network", async (form) => {
    const latentSize = { width: 128, height: 96, batch_size: 2 };
    for (const [time, seed] of [
      [1, 5],
      [0.313, 6],
    ] as const) {
      const latents = await latentsOf(
        {
          base: unetLoader(fileOf(form)),
          text: node('TestText', TEXT),
          empty: node('EmptySD3LatentImage', latentSize),
          theirs: node('TestVelocity', {
            model: ['base', 0],
            conditioning: ['text', 0],
            latent: ['empty', 0],
            seed,
            time,
          }),
          prompts: node('FlowstepPromptSet', { conditioning: ['text', 0] }),
          // Keeps the prompts: only what an output node needs is run.
          ours: ourSampler('loaded', { latent: ['empty', 0], prompts: ['prompts', 0], seed }),
          loaded: node('FlowstepLoadModel', { file: fileOf(form) }),
        },
        { theirs: ['theirs', 0], ours: ['ours', 0] },
      );
      const theirs = latents('theirs');
      const file = join(comfy.folder, 'models/diffusion_models', fileOf(form));
      const folder = join(comfy.folder, 'output/prompts');
      const ours = await velocity(file, folder, theirs.shape, seed, time);
      expect(largestGap(ours, theirs.data)).toBeLessThan(VELOCITY_GAP);
    }
  });

  test('Flow Sampler gives the latent of KSampler, with guidance and a negative prompt', async () => {
    const prompt = {
      base: unetLoader(BASE),
      shifted: node('ModelSamplingSD3', { model: ['base', 0], shift: 1 }),
      loaded: node('FlowstepLoadModel', { file: BASE }),
      text: node('TestText', TEXT),
      negative: node('TestText', { ...TEXT, seed: 12 }),
      empty: node('EmptyLatentImage', { width: 128, height: 64, batch_size: 2 }),
      theirs: kSampler({ model: ['shifted', 0], steps: 4, cfg: 2.5, seed: 3 }),
      ours: ourSampler('loaded', {
        latent: ['empty', 0],
        conditioning: ['text', 0],
        negative: ['negative', 0],
        steps: 4,
        cfg: 2.5,
        seed: 3,
      }),
    };
    const latents = await latentsOf(prompt, { theirs: ['theirs', 0], ours: ['ours', 0] });
    expect(latents('ours').shape).toEqual([2, 16, 8, 16]);
    expect(largestGap(latents('ours').data, latents('theirs').data)).toBeLessThan(LATENT_GAP);
  });

  describe.each([
    { steps: 1, shift: 3, t: 1, sampler: 'KSampler' },
    { steps: 2, shift: 3, t: 1, sampler: 'KSampler' },
    { steps: 4, shift: 2, t: 1, sampler: 'KSampler' },
    { steps: 1, shift: 3, t: 0.97, sampler: 'SamplerCustomAdvanced' },
  ])('a LoRA of $steps steps from t* = $t', ({ steps, shift, t, sampler }) => {
    const name = `student-${steps}-${t}`;
    const lora = `${name}_00001_.safetensors`;
    const workflow = join('output/loras', `${name}_00001_.json`);

    test(`is distilled for ${STEPS} steps and saved`, async () => {
      const lr = { learning_rate: 0.002, lora_rank: 4 };
      const size = { width: SIDE, height: SIDE };
      const student = { student_steps: steps, shift, t_star: t };
      const entry = await run({
        loaded: node('FlowstepLoadModel', { file: BASE }),
        text: node('TestText', { ...TEXT, count: 5 }),
        prompts: node('FlowstepPromptSet', { conditioning: ['text', 0] }),
        online: node('FlowstepOnlineFlow', { teacher: ['loaded', 0], ...lr }),
        distill: node('FlowstepDistill', {
          teacher: ['loaded', 0],
          online: ['online', 0],
          prompts: ['prompts', 0],
          steps: STEPS,
          batch: 2,
          warmup: 0,
          ema_decay: 0.9,
          cfg: 2,
          run_name: name,
          ...lr,
          ...size,
          ...student,
        }),
        save: node('FlowstepSaveModel', {
          model: ['distill', 0],
          filename_prefix: name,
          format: 'comfyui-lora',
        }),
      });
      expect(entry.outputs['save']?.text).toEqual([`loras/${lora}`, `loras/${name}_00001_.json`]);
      expect(await deltaNorm(join(comfy.folder, 'output/loras', lora))).toBeGreaterThan(0.01);
    });

    test('is what One-Step Sampler runs, by the workflow beside it', async () => {
      const types = readObjectInfo(await client.get('/object_info'), 'object_info');
      const json: unknown = JSON.parse(await readFile(join(comfy.folder, workflow), 'utf8'));
      const { api } = convertUiWorkflow(json, types, workflow);
      const theirs = withoutText(api as Prompt);
      expect(typesOf(theirs)).toContain(sampler);
      const [id] = idsOf(theirs, sampler);
      const seed = sampler === 'KSampler' ? theirs[id!]!.inputs['seed'] : 0;
      const [empty] = idsOf(theirs, 'EmptySD3LatentImage');
      expect(theirs[empty!]!.inputs).toMatchObject({ width: SIDE, height: SIDE });
      const latents = await latentsOf(
        {
          ...theirs,
          loaded: node('FlowstepLoadModel', { file: BASE, lora }),
          ours: node('FlowstepOneStepSampler', {
            model: ['loaded', 0],
            latent: [empty!, 0],
            conditioning: ['text', 0],
            seed,
          }),
          base: unetLoader(BASE),
          untrained: kSampler({ model: ['base', 0], empty: empty!, steps, seed }),
        },
        { theirs: [id!, 0], ours: ['ours', 0], base: ['untrained', 0] },
      );
      const ours = latents('ours').data;
      expect(largestGap(ours, latents('theirs').data)).toBeLessThan(LATENT_GAP);
      // It is not the base that both have run.
      expect(largestGap(ours, latents('base').data)).toBeGreaterThan(20 * LATENT_GAP);
    });
  });

  test('the shipped workflows distil a LoRA and sample it', async () => {
    const types = readObjectInfo(await client.get('/object_info'), 'object_info');
    const shipped = async (name: string, changes: Readonly<Record<string, object>>) => {
      const json: unknown = JSON.parse(await readFile(workflowFile(name), 'utf8'));
      const prompt = withoutText(convertUiWorkflow(json, types, name).api as Prompt);
      const nodes = Object.entries(prompt).map(([id, { class_type, inputs }]) => [
        id,
        node(class_type, { ...inputs, ...changes[class_type] }),
      ]);
      return Object.fromEntries(nodes) as Prompt;
    };
    const file = BASE;
    const small = { steps: 2, batch: 1, warmup: 0, width: SIDE, height: SIDE };
    const training = await shipped('sd3-distill.json', {
      FlowstepLoadModel: { file },
      FlowstepDistill: small,
    });
    const [drawing] = idsOf(training, 'FlowstepOneStepSampler');
    const first = await latentsOf(training, { shipped: [drawing!, 0] });
    expect(first('shipped').shape).toEqual([4, 16, SIDE / 8, SIDE / 8]);
    const sampling = await shipped('sd3-one-step.json', {
      FlowstepLoadModel: { file },
      EmptySD3LatentImage: { width: 2 * SIDE, height: SIDE },
    });
    const [id] = idsOf(sampling, 'FlowstepOneStepSampler');
    expect(sampling[idsOf(sampling, 'FlowstepLoadModel')[0]!]!.inputs['lora']).not.toBe('');
    const second = await latentsOf(sampling, { sampled: [id!, 0] });
    expect(second('sampled').shape).toEqual([1, 16, SIDE / 8, SIDE / 4]);
  });

  test('LoRAs and checkpoints of ComfyUI are choices of Load Flow Model', async () => {
    const info = (await client.get('/object_info/FlowstepLoadModel')) as Record<string, LoaderInfo>;
    const { required, optional } = info['FlowstepLoadModel']!.input;
    expect(required.file[0]).toEqual(expect.arrayContaining([BASE, `sub/${CHECKPOINT}`]));
    expect(optional.lora[0]).toContain('student-1-1_00001_.safetensors');
    expect(optional.lora[0]).not.toContain(BASE);
  });

  test("ComfyUI's template for SD3.5 runs up to the latent with One-Step Sampler in place of KSampler", async () => {
    const types = readObjectInfo(await client.get('/object_info'), 'object_info');
    const file = join(PACK, 'test/golden/pairs/tpl_sd3.5_simple_example.ui.json');
    const json: unknown = JSON.parse(await readFile(file, 'utf8'));
    const template = convertUiWorkflow(json, types, file).api as Prompt;
    const [id] = idsOf(template, 'KSampler');
    const { seed, latent_image: latent, positive } = template[id!]!.inputs;
    const changed = {
      ...template,
      loaded: node('FlowstepLoadModel', {
        file: `sub/${CHECKPOINT}`,
        lora: 'student-1-1_00001_.safetensors',
      }),
      [id!]: node('FlowstepOneStepSampler', {
        model: ['loaded', 0],
        conditioning: positive,
        latent,
        seed,
      }),
    };
    const latents = await latentsOf(withoutText(changed), { template: [id!, 0] });
    const { shape, data } = latents('template');
    expect(shape).toEqual([1, 16, 128, 128]);
    expect(data.every(Number.isFinite)).toBe(true);
    expect(data.some((x) => x !== data[0])).toBe(true);
  });
});

interface LoaderInfo {
  readonly input: {
    readonly required: { readonly file: readonly [readonly string[]] };
    readonly optional: { readonly lora: readonly [readonly string[]] };
  };
}
