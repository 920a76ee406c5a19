/** @file One-Step Sampler: samples of a student in one network evaluation. */
import { z } from 'zod';
import { defineNode } from './define-node.ts';
import { countOfLatent, drawSamples, samplerResult } from './draw-samples.ts';
import { openModel } from './flow-models.ts';
import { FlowModelSchema } from './handles.ts';
import { samplerInputs, samplerOutputs } from './sampler-inputs.ts';

export const oneStepSamplerNode = defineNode({
  id: 'FlowstepOneStepSampler',
  displayName: 'One-Step Sampler',
  category: 'flowstep/sampling',
  description: 'Makes samples with a distilled student: one network evaluation each.',
  inputs: z.object({
    model: FlowModelSchema.meta({ tooltip: 'A student, from FGM Distill or Load Flow Model.' }),
    ...samplerInputs,
  }),
  outputs: samplerOutputs,
  async execute({ model: handle, seed, count, label, latent }, context) {
    const model = await openModel(handle, context);
    const samples = await drawSamples(
      model,
      {
        solver: 'one-step',
        steps: 1,
        seed,
        count: latent ? countOfLatent(model, latent) : count,
        label,
      },
      context.signal,
    );
    return samplerResult(samples);
  },
});
