/** @file A tiny Stable Diffusion 3 in the models folder, and texts for it. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Conditioning } from '../../src/nodes/handles.ts';
import type { NodeContext } from '../../src/nodes/node-context.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';
import { normals } from '../support/small-mmdit.ts';
import { tinySd3, writeTinySd3 } from '../support/tiny-sd3.ts';
import { run } from './training-support.ts';

/** One block; pictures of 32 x 32, which are latents of 4 x 4. */
const CHANGES = { depth: 1, positions: 4, height: 4, width: 4, contextWidth: 6, pooledWidth: 5 };

export const TINY = tinySd3('SD3-medium', CHANGES);
export const PIXELS = { width: 32, height: 32 };

const TOKENS = 3;

/** Writes it below the models folder. */
export async function putBase(
  { roots }: NodeContext,
  name = 'sd3/tiny.safetensors',
  options: { readonly seed?: number; readonly prefix?: string } = {},
): Promise<void> {
  const file = join(roots.models, name);
  await mkdir(dirname(file), { recursive: true });
  await writeTinySd3(file, 'SD3-medium', { ...options, changes: CHANGES });
}

/** Loads what `putBase` writes. */
export async function loadBase(context: NodeContext, inputs: object = {}) {
  const loaded = await run(
    'FlowstepLoadModel',
    { file: 'sd3/tiny.safetensors', ...inputs },
    context,
  );
  return loaded.outputs['model'];
}

/** `count` texts as ComfyUI joins them; `form` changes length or widths. */
export function texts(
  count: number,
  seed: number,
  form: { readonly tokens?: number; readonly width?: number; readonly pooled?: number } = {},
): Conditioning {
  const { tokens = TOKENS, width = TINY.contextWidth, pooled = TINY.pooledWidth } = form;
  return Array.from({ length: count }, (_, i) => [
    float32(normals(tokens * width, seed + 2 * i), [1, tokens, width]),
    { pooled_output: float32(normals(pooled, seed + 2 * i + 1), [1, pooled]) },
  ]);
}

export async function promptSet(context: NodeContext, inputs: object = {}) {
  const { outputs } = await run(
    'FlowstepPromptSet',
    { conditioning: texts(4, 100), ...inputs },
    context,
  );
  return outputs['prompts'];
}

/** Distils a LoRA in a few steps; `inputs` are FGM Distill's. */
export async function distilLora(
  context: NodeContext,
  teacher: unknown,
  inputs: object = {},
  onlineInputs: object = { lora_rank: 2 },
) {
  const online = await run('FlowstepOnlineFlow', { teacher, ...onlineInputs }, context);
  return run(
    'FlowstepDistill',
    {
      teacher,
      online: online.outputs['online'],
      prompts: await promptSet(context),
      steps: 3,
      batch: 2,
      warmup: 0,
      ema_decay: 0,
      learning_rate: 0.02,
      lora_rank: 2,
      run_name: 'lora',
      ...PIXELS,
      ...inputs,
    },
    context,
  );
}

/** Samples of One-Step Sampler, or of Flow Sampler for models that are no students. */
export async function latents(
  context: NodeContext,
  model: unknown,
  inputs: object = {},
  node = 'FlowstepOneStepSampler',
): Promise<Tensor<'float32'>> {
  const { outputs } = await run(
    node,
    { model, seed: 3, count: 2, conditioning: texts(1, 100), ...inputs },
    context,
  );
  return (outputs['latent'] as { samples: Tensor<'float32'> }).samples;
}
