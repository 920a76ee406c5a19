/** @file The pack in the real ComfyUI: what users see, and that it is what `flowstep run` gives. */
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runWorkflowFile } from '../../src/host/run-file.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import type { Latent } from '../../src/nodes/handles.ts';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { type Frame, type HistoryEntry, type Prompt, progressText } from './comfy-client.ts';
import { ComfyUi, NO_COMFYUI, PACK } from './comfyui.ts';
import { idOf, promptOf, SMALL_2D, workflowFile } from './prompts.ts';

if (NO_COMFYUI) console.warn(`skipped: ${NO_COMFYUI}`);

describe.skipIf(NO_COMFYUI)('the real ComfyUI', () => {
  let comfy: ComfyUi;

  beforeAll(async () => {
    comfy = await ComfyUi.start({ packs: [join(PACK, 'test/comfyui/conditioning-pack')] });
  });

  afterAll(async () => {
    await comfy[Symbol.asyncDispose]();
  });

  test('shows every node before there is a server, with the models of the pack', async () => {
    using client = await comfy.connect();
    const info = (await client.get('/object_info')) as Record<string, ObjectInfo>;
    for (const node of allNodes().list()) {
      expect(info[node.id]?.output_name, node.id).toEqual(
        node.id === 'SaveImage' ? ['images'] : node.outputs.map((output) => output.name),
      );
    }
    expect(info['SaveImage']?.python_module).toBe('nodes');
    expect(info['FlowstepLoadModel']?.input.required['file']?.[0]).toEqual([
      'fashion/student-real.safetensors',
      'fashion/student.safetensors',
      'fashion/teacher.safetensors',
    ]);
    expect(await comfy.log()).not.toContain('flowstep 0.');
  });

  test.each([
    ['fashion-one-step.json', ['One-Step Sampler.count=12']],
    ['fgm-2d.json', SMALL_2D],
  ])('%s gives the tensors and pixels of `flowstep run`', async (name, overrides) => {
    using client = await comfy.connect();
    const prompt = withSavedLatent(await promptOf(name, overrides));
    const { entry } = await client.run(prompt);
    expect(entry.status.status_str).toBe('success');

    const output = await tempFolder();
    const roots = { models: join(PACK, 'models'), output, data: output };
    const runs = await runWorkflowFile(workflowFile(name), {
      registry: allNodes(),
      roots,
      overrides,
    });
    const sampler = runs.find(({ type }) => type === 'FlowstepOneStepSampler')!;
    const { samples } = sampler.outputs['latent'] as Latent;
    expect(await savedLatent(comfy)).toEqual({ shape: [...samples.shape], data: samples.data });

    const writers = runs.filter(({ type }) => type === 'SaveImage');
    expect(writers.length).toBeGreaterThan(0);
    for (const { node, files } of writers) {
      const pictures = picturesOf(entry, node);
      expect(pictures).toEqual(files);
      for (const picture of pictures) {
        expect(await pixels(join(comfy.folder, 'output', picture)), picture).toEqual(
          await pixels(join(output, picture)),
        );
      }
    }
  });

  test('a training shows progress, previews, metrics and what it wrote, and keeps the metrics', async () => {
    using client = await comfy.connect();
    const prompt = await promptOf('fgm-2d.json', [...SMALL_2D, 'FGM Distill.seed=1']);
    const distill = idOf(prompt, 'FlowstepDistill');
    const { frames, entry } = await client.run(prompt);
    const mine = frames.filter(({ data }) => data['node'] === distill);
    const steps = mine.filter(({ type }) => type === 'progress').map(({ data }) => data['value']);
    expect(steps.at(-1)).toBe(60);
    expect(frames.filter(({ type }) => type === 'binary preview').length).toBeGreaterThan(0);
    const metrics = mine.filter(({ type }) => type === 'flowstep.metrics').map(({ data }) => data);
    expect(metrics.at(-1)).toMatchObject({ step: 60, steps: 60 });
    expect(Object.keys(metrics[0]!['metrics'] as object)).toEqual(
      expect.arrayContaining(['loss/student', 'loss/online']),
    );
    const texts = frames.filter(({ type }) => type === 'binary text').map(progressText);
    const wrote = expect.stringMatching(/^device .+\nWrote runs\//);
    expect(texts).toContainEqual({ node: distill, text: wrote });
    expect(entry.outputs[distill]?.text).toHaveLength(2);

    const history = (await client.get('/flowstep/history')) as Record<string, unknown>;
    expect(history[distill]).toEqual(metrics);
  });

  test('a queued workflow that has not changed runs nothing again', async () => {
    using client = await comfy.connect();
    const prompt = await promptOf('fashion-one-step.json', ['One-Step Sampler.count=3']);
    await client.run(prompt);
    const { frames } = await client.run(prompt);
    expect(cachedNodes(frames)?.sort()).toEqual(Object.keys(prompt).sort());
  });

  test('a model file that changes runs the nodes after it again, and the same one does not', async () => {
    using client = await comfy.connect();
    const folder = join(comfy.folder, 'models/flowstep');
    await mkdir(folder, { recursive: true });
    const put = (name: string) =>
      cp(join(PACK, 'models/fashion', name), join(folder, 'mine.safetensors'));
    const overrides = ['file=mine.safetensors', 'sha256='].map((set) => `Load Flow Model.${set}`);
    const prompt = await promptOf('fashion-one-step.json', overrides);
    // A teacher does not sample in one step.
    await put('teacher.safetensors');
    expect((await client.run(prompt)).entry.status.status_str).toBe('error');
    await put('student.safetensors');
    const changed = await client.run(prompt);
    expect(changed.entry.status.status_str).toBe('success');
    expect(cachedNodes(changed.frames)).toEqual([]);
    await put('student.safetensors');
    const same = await client.run(prompt);
    expect(cachedNodes(same.frames)?.sort()).toEqual(Object.keys(prompt).sort());
  });

  test('an error shows its hint at the node', async () => {
    using client = await comfy.connect();
    const overrides = ['file=no.safetensors', 'sha256='].map((set) => `Load Flow Model.${set}`);
    const prompt = await promptOf('fashion-one-step.json', overrides);
    const { entry } = await client.run(prompt);
    const error = entry.status.messages.find(([type]) => type === 'execution_error')?.[1];
    expect(error?.['node_id']).toBe(idOf(prompt, 'FlowstepLoadModel'));
    const message = String(error?.['exception_message']);
    expect(message).toContain('there is no model file no.safetensors');
    expect(message).toContain('Run `flowstep run workflows/fashion-distill.json` to make it.');
    expect(message).toContain(join(comfy.folder, 'models/flowstep'));
  });

  test('conditionings come as ComfyUI has them, joined and zeroed by its own nodes', async () => {
    using client = await comfy.connect();
    const text = (start: number) => ({ class_type: 'TestConditioning', inputs: { start } });
    const { entry } = await client.run({
      1: text(5),
      2: text(700),
      3: {
        class_type: 'ConditioningCombine',
        inputs: { conditioning_1: ['1', 0], conditioning_2: ['2', 0] },
      },
      4: { class_type: 'ConditioningZeroOut', inputs: { conditioning: ['1', 0] } },
      5: {
        class_type: 'FlowstepPromptSet',
        inputs: { conditioning: ['3', 0], negative: ['4', 0] },
      },
      6: { class_type: 'TestEnd', inputs: { prompts: ['5', 0] } },
    });
    expect(entry.status.status_str).toBe('success');
    const path = entry.outputs['6']?.text?.[0] ?? '';
    const { tensors } = await readSafetensors(join(comfy.folder, 'output', path));
    const expected = (count: number, starts: readonly number[]) =>
      starts.flatMap((start) =>
        Array.from({ length: count }, (_, i) => Math.fround(((i + start) % 977) / 977)),
      );
    const context = tensors.get('context')!;
    expect(context.shape).toEqual([2, 154, 4096]);
    const sent = Float32Array.from(expected(154 * 4096, [5, 700]));
    expect(Buffer.compare(bytesOf(context), bytesOf({ data: sent }))).toBe(0);
    const pooled = tensors.get('pooled')!;
    expect(pooled.shape).toEqual([2, 2048]);
    expect([...(pooled.data as Float32Array)]).toEqual(expected(2048, [5, 700]));
  });

  test('the token is in no argument and no log', async () => {
    const secret = /[0-9a-f]{64}/;
    const lines = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' '))
      .filter((line) => line.includes('--token-stdin'));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter((line) => secret.test(line))).toEqual([]);
    expect(await comfy.log()).not.toMatch(secret);
  });
});

interface ObjectInfo {
  readonly output_name: readonly string[];
  readonly python_module: string;
  readonly input: { readonly required: Readonly<Record<string, readonly unknown[]>> };
}

/** Nodes that were not run, as what they gave is still there. */
function cachedNodes(frames: readonly Frame[]): string[] | undefined {
  const cached = frames.find(({ type }) => type === 'execution_cached')?.data['nodes'];
  return cached as string[] | undefined;
}

/** With ComfyUI's own node that writes the samples of One-Step Sampler as they are. */
function withSavedLatent(prompt: Prompt): Prompt {
  const samples = [idOf(prompt, 'FlowstepOneStepSampler'), 0];
  const inputs = { samples, filename_prefix: 'latents/same' };
  return { ...prompt, latent: { class_type: 'SaveLatent', inputs } };
}

/** What that node wrote last. */
async function savedLatent(comfy: ComfyUi): Promise<{ shape: number[]; data: Float32Array }> {
  const folder = join(comfy.folder, 'output/latents');
  const name = (await readdir(folder)).sort().at(-1)!;
  const { tensors } = await readSafetensors(join(folder, name));
  const tensor = tensors.get('latent_tensor');
  if (!(tensor?.data instanceof Float32Array)) throw new Error(`${name} holds no floats`);
  return { shape: [...tensor.shape], data: tensor.data };
}

function bytesOf({ data }: { readonly data: ArrayBufferView }): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function picturesOf(entry: HistoryEntry, node: string): string[] {
  const images = entry.outputs[node]?.images ?? [];
  return images.map(({ subfolder, filename }) => `${subfolder}/${filename}`);
}

async function pixels(file: string): Promise<{ info: object; data: Buffer }> {
  return sharp(await readFile(file))
    .raw()
    .toBuffer({ resolveWithObject: true });
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
