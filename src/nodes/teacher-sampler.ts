/** @file Flow Sampler: samples of a teacher by solving its differential equation. */
import { z } from 'zod';
import { defineNode } from './define-node.ts';
import { countOfLatent, drawSamples, samplerResult } from './draw-samples.ts';
import { openModel } from './flow-models.ts';
import { FlowModelSchema } from './handles.ts';
import { samplerInputs, samplerOutputs } from './sampler-inputs.ts';

export const teacherSamplerNode = defineNode({
  id: 'FlowstepTeacherSampler',
  displayName: 'Flow Sampler',
  category: 'flowstep/sampling',
  description: 'Makes samples with a flow of many steps, to compare a student with.',
  inputs: z.object({
    model: FlowModelSchema.meta({
      tooltip: 'A teacher, from Train Flow Teacher or Load Flow Model.',
    }),
    solver: z.enum(['euler', 'heun']).default('euler').meta({
      tooltip: 'euler: one network evaluation per step; heun: two, and more exact.',
    }),
    steps: z.int().min(1).max(10_000).default(50).meta({
      tooltip: 'Steps from noise to data; more are slower and more exact.',
      step: 1,
    }),
    ...samplerInputs,
  }),
  outputs: samplerOutputs,
  async execute({ model: handle, solver, steps, seed, count, label, latent }, context) {
    const model = await openModel(handle, context);
    const samples = await drawSamples(
      model,
      { solver, steps, seed, count: latent ? countOfLatent(model, latent) : count, label },
      context.signal,
    );
    return samplerResult(samples);
  },
});
