/** @file Inputs and outputs that both samplers have. */
import { z } from 'zod';
import type { FlowModel } from '../trainer/run/model.ts';
import { seedInput } from './common-inputs.ts';
import { textOf } from './conditioning.ts';
import { openPromptSet } from './datasets.ts';
import { type DrawRequest, EVERY_CLASS } from './draw-samples.ts';
import { openModel } from './flow-models.ts';
import {
  ConditioningSchema,
  type FlowModelHandle,
  FlowPromptsSchema,
  ImageSchema,
  LatentSchema,
} from './handles.ts';
import { fittedToLatent } from './model-size.ts';
import type { NodeContext } from './node-context.ts';

/** More are drawn by several runs. */
export const MAX_SAMPLES = 65_536;

export const samplerInputs = {
  seed: seedInput(
    'Decides the noise; the same seed gives the same noise as in ComfyUI.',
    'randomize',
  ),
  count: z.int().min(1).max(MAX_SAMPLES).default(16).meta({
    tooltip: 'How many samples to make. Not used when a latent is connected.',
    step: 1,
  }),
  label: z.int().min(EVERY_CLASS).max(99_999).default(EVERY_CLASS).meta({
    tooltip: 'Class of all samples, for models with classes; -1 = each class in turn.',
    step: 1,
  }),
  latent: LatentSchema.optional().meta({
    tooltip:
      'Its batch size is the number of samples, and its size theirs where the model leaves it open; of its contents only the places in a batch that Latent From Batch takes samples from are used.',
  }),
  conditioning: ConditioningSchema.optional().meta({
    tooltip: "For models that take text: the prompt, from the model's text encoders.",
  }),
  prompts: FlowPromptsSchema.optional().meta({
    tooltip:
      'For models that take text: a prompt set instead of a prompt; label is the number of the prompt, -1 = each in turn.',
  }),
};

export const samplerOutputs = {
  latent: LatentSchema.meta({ tooltip: 'The samples as the model makes them.' }),
  image: ImageSchema.optional().meta({
    tooltip: 'The samples as pictures; points in the plane as a scatter plot.',
  }),
};

type SamplerInputs = z.output<z.ZodObject<typeof samplerInputs>> & {
  readonly model: FlowModelHandle;
};

/** The model in the size that is asked for, and what both samplers are asked for alike. */
export async function samplerRequest(
  { model: handle, seed, count, label, latent, conditioning, prompts }: SamplerInputs,
  context: NodeContext,
): Promise<{ readonly model: FlowModel; readonly request: Omit<DrawRequest, 'solver'> }> {
  const model = await openModel(handle, context);
  const wanted = latent ? fittedToLatent(model, latent) : { model, count };
  const text = conditioning && textOf(conditioning, 'conditioning');
  const set = await openPromptSet(prompts, context);
  return {
    model: wanted.model,
    request: {
      ...{ seed, count: wanted.count, label, text, prompts: set },
      indices: latent?.batch_index ?? undefined,
    },
  };
}
