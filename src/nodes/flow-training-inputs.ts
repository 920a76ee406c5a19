/** @file Inputs that say how a flow is trained beyond its times, for teachers and online flows. */
import { z } from 'zod';
import { FLOW_WEIGHTS } from '../trainer/methods/flow-matching.ts';
import { type FlowTraining, flowTrainingFacts } from '../trainer/run/flow-training.ts';

/** More would leave next to nothing to learn from. */
const MOST_DROPOUT = 0.9;

export const flowTrainingInputs = {
  flow_weight: z.enum(FLOW_WEIGHTS).default('velocity').meta({
    advanced: true,
    tooltip:
      "Weight of the flow's loss over time: velocity 1, as in flow matching; edm as EDM trains its denoisers, which counts noise more than data.",
  }),
  dropout: z.number().min(0).max(MOST_DROPOUT).default(0).meta({
    advanced: true,
    tooltip:
      "Share of activations that are dropped in training, for SongUNets; 0 = none, EDM's for CIFAR-10 is 0.13.",
    step: 0.01,
  }),
  augment: z.number().min(0).max(1).default(0).meta({
    advanced: true,
    tooltip:
      'Probability of each change of the pictures in training (mirroring, scale, rotation, stretch, shift), of which the network is told: for SongUNets with augment labels; 0 = none, EDM uses 0.12.',
    step: 0.01,
  }),
};

/** What the inputs turn on. */
export function readFlowTraining(
  inputs: z.infer<z.ZodObject<typeof flowTrainingInputs>>,
): FlowTraining {
  const { flow_weight: flowWeight, dropout, augment } = inputs;
  return flowTrainingFacts({ flowWeight, dropout, augment });
}
