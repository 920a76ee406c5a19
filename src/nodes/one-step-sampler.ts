/** @file One-Step Sampler: samples of a student in one network evaluation. */
import { z } from 'zod';
import { MAX_STUDENT_STEPS } from '../trainer/run/model.ts';
import { defineNode } from './define-node.ts';
import { drawSamples, samplerResult } from './draw-samples.ts';
import { FlowModelSchema } from './handles.ts';
import { samplerInputs, samplerOutputs, samplerRequest } from './sampler-inputs.ts';

/** Stands for the student's own number of steps. */
const AS_TRAINED = 0;

export const oneStepSamplerNode = defineNode({
  id: 'FlowstepOneStepSampler',
  displayName: 'One-Step Sampler',
  category: 'flowstep/sampling',
  description: 'Makes samples with a distilled student: one network evaluation each.',
  searchAliases: ['KSampler', 'few step', 'turbo', 'lightning', 'distilled sampler', 'generate'],
  inputs: z.object({
    model: FlowModelSchema.meta({ tooltip: 'A student, from FGM Distill or Load Flow Model.' }),
    ...samplerInputs,
    steps: z.int().min(AS_TRAINED).max(MAX_STUDENT_STEPS).default(AS_TRAINED).meta({
      tooltip: 'Network evaluations of a sample; 0 = as many as the student was trained for.',
      step: 1,
    }),
  }),
  outputs: samplerOutputs,
  async execute({ steps, ...inputs }, context) {
    const { model, request } = await samplerRequest(inputs, context);
    const samples = await drawSamples(
      model,
      { ...request, solver: 'one-step', ...(steps !== AS_TRAINED && { steps }) },
      context.signal,
      context.onProgress,
    );
    return samplerResult(model, samples, request);
  },
});
