/** @file Flow Sampler: samples of a teacher by solving its differential equation. */
import { z } from 'zod';
import { textOf } from './conditioning.ts';
import { defineNode } from './define-node.ts';
import { drawSamples, samplerResult } from './draw-samples.ts';
import { cfgTMaxInput, readGuidance } from './guidance-inputs.ts';
import { ConditioningSchema, FlowModelSchema } from './handles.ts';
import { samplerInputs, samplerOutputs, samplerRequest } from './sampler-inputs.ts';

export const teacherSamplerNode = defineNode({
  id: 'FlowstepTeacherSampler',
  displayName: 'Flow Sampler',
  category: 'flowstep/sampling',
  description: 'Makes samples with a flow of many steps, to compare a student with.',
  searchAliases: ['KSampler', 'euler', 'heun', 'flow matching sampler', 'generate'],
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
    cfg: z.number().min(1).max(100).default(1).meta({
      tooltip:
        "Classifier-free guidance; 1 = none, Stable Diffusion 3's usual is 4.5. It takes two network evaluations a step.",
      step: 0.1,
    }),
    negative: ConditioningSchema.optional().meta({
      tooltip: 'For models that take text: what guidance leads away from; left out = zeros.',
    }),
    ...cfgTMaxInput,
  }),
  outputs: samplerOutputs,
  async execute({ solver, steps, cfg, cfg_t_max, negative, ...inputs }, context) {
    const { model, request } = await samplerRequest(inputs, context);
    const samples = await drawSamples(
      model,
      {
        ...request,
        solver,
        steps,
        guidance: readGuidance({ cfg, cfg_t_max }),
        negative: negative && textOf(negative, 'negative'),
      },
      context.signal,
      context.onProgress,
    );
    return samplerResult(model, samples, request);
  },
});
