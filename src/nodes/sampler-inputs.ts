/** @file Inputs and outputs that both samplers have. */
import { z } from 'zod';
import { seedInput } from './common-inputs.ts';
import { EVERY_CLASS } from './draw-samples.ts';
import { ImageSchema, LatentSchema } from './handles.ts';

export const samplerInputs = {
  seed: seedInput(
    'Decides the noise; the same seed gives the same noise as in ComfyUI.',
    'randomize',
  ),
  count: z.int().min(1).max(65_536).default(16).meta({
    tooltip: 'How many samples to make. Not used when a latent is connected.',
    step: 1,
  }),
  label: z.int().min(EVERY_CLASS).max(99_999).default(EVERY_CLASS).meta({
    tooltip: 'Class of all samples, for models with classes; -1 = each class in turn.',
    step: 1,
  }),
  latent: LatentSchema.optional().meta({
    tooltip: 'Its batch size is the number of samples; its contents are not used.',
  }),
};

export const samplerOutputs = {
  latent: LatentSchema.meta({ tooltip: 'The samples as the model makes them.' }),
  image: ImageSchema.optional().meta({
    tooltip: 'The samples as pictures; points in the plane as a scatter plot.',
  }),
};
