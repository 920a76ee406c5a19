/** @file Online Flow: how the flow that follows the student is started and trained. */
import { z } from 'zod';
import {
  densityInputs,
  learningRateInput,
  loraInputs,
  readDensity,
  readLoraInputs,
} from './common-inputs.ts';
import { defineNode } from './define-node.ts';
import { modelKey } from './flow-models.ts';
import { flowTrainingInputs, readFlowTraining } from './flow-training-inputs.ts';
import { FlowModelSchema, OnlineFlowSchema } from './handles.ts';

export const onlineFlowNode = defineNode({
  id: 'FlowstepOnlineFlow',
  displayName: 'Online Flow',
  category: 'flowstep/training',
  description:
    'Sets up the flow that learns what the student makes, so that FGM Distill can compare it with the teacher.',
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
  }),
  outputs: {
    online: OnlineFlowSchema.meta({ tooltip: 'For the "online" input of FGM Distill.' }),
  },
  async execute(inputs) {
    const lora = readLoraInputs(inputs);
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
    };
    return { outputs: { online } };
  },
});
