/** @file Online Flow: how the flow that follows the student is started and trained. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import {
  densityInputs,
  learningRateInput,
  loraInputs,
  readDensity,
  readLoraInputs,
} from './common-inputs.ts';
import { defineNode } from './define-node.ts';
import { modelKey, openModel } from './flow-models.ts';
import { flowTrainingInputs, readFlowTraining } from './flow-training-inputs.ts';
import { type FlowModelHandle, FlowModelSchema, OnlineFlowSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import type { ModelFileRef } from './root-files.ts';

export const onlineFlowNode = defineNode({
  id: 'FlowstepOnlineFlow',
  displayName: 'Online Flow',
  category: 'flowstep/training',
  description:
    'Sets up the flow that learns what the student makes, so that FGM Distill can compare it with the teacher.',
  searchAliases: ['fake score', 'critic', 'auxiliary model', 'score distillation'],
  inputs: z.object({
    teacher: FlowModelSchema.meta({ tooltip: 'The teacher that will be distilled.' }),
    init: z.enum(['teacher', 'random']).default('teacher').meta({
      tooltip: "First weights: the teacher's (usual), or random ones.",
    }),
    updates: z.int().min(1).max(1000).default(1).meta({
      tooltip:
        'Updates of the online flow per update of the student: 5 for points, 1 for pictures.',
      step: 1,
    }),
    learning_rate: learningRateInput(1e-3, "Adam's learning rate of the online flow."),
    ...densityInputs,
    ...loraInputs,
    ...flowTrainingInputs,
    model: FlowModelSchema.optional().meta({
      tooltip:
        'An online flow to go on with: online.safetensors of the run whose student FGM Distill goes on with. Left out, init decides.',
    }),
  }),
  outputs: {
    online: OnlineFlowSchema.meta({ tooltip: 'For the "online" input of FGM Distill.' }),
  },
  async execute(inputs, context) {
    const lora = readLoraInputs(inputs);
    const weights = inputs.model && (await weightsOf(inputs.model, context));
    const online = {
      type: 'ONLINE_FLOW' as const,
      teacher: modelKey(inputs.teacher),
      options: {
        init: inputs.init,
        updates: inputs.updates,
        learningRate: inputs.learning_rate,
        density: readDensity(inputs),
        ...(lora && { lora }),
        ...readFlowTraining(inputs),
      },
      ...(weights && { weights }),
    };
    return { outputs: { online } };
  },
});

/** The file of an online flow: its weights, or its adapters. Throws MODEL_INVALID when the model is something else. */
async function weightsOf(handle: FlowModelHandle, context: NodeContext): Promise<ModelFileRef> {
  const { role } = (await openModel(handle, context)).info;
  if (role !== 'online') {
    throw new FlowstepError('MODEL_INVALID', `${handle.path} is a ${role}, not an online flow`, {
      field: 'model',
      hint: 'Load online.safetensors from the folder of the run that made the student.',
    });
  }
  const lora = handle.loras?.at(-1);
  if (lora) return lora.file;
  const { type: _, loras: __, ...file } = handle;
  return file;
}
