/** @file Train Flow Teacher: flow matching from data to a FLOW_MODEL. */
import { z } from 'zod';
import type { Dataset } from '../trainer/data/dataset.ts';
import { TeacherTrainer } from '../trainer/run/teacher-trainer.ts';
import { whole } from '../trainer/runtime/whole.ts';
import {
  densityInputs,
  loopOptions,
  recomputeInput,
  runInputs,
  seedInput,
  trainingInputs,
} from './common-inputs.ts';
import { openDataset, openPromptSet } from './datasets.ts';
import { defineNode } from './define-node.ts';
import { flowTrainingInputs, readFlowTraining } from './flow-training-inputs.ts';
import {
  FlowDatasetSchema,
  FlowModelSchema,
  FlowPromptsSchema,
  FlowReportSchema,
} from './handles.ts';
import { NETWORK_PRESET_NAMES, networkFor } from './network-presets.ts';
import type { NodeContext } from './node-context.ts';
import { evaluationFingerprint, evaluationInputs, openEvaluation } from './training-evaluation.ts';
import { runTraining } from './training-run.ts';

const ID = 'FlowstepTrainTeacher';

export const trainTeacherNode = defineNode({
  id: ID,
  displayName: 'Train Flow Teacher',
  category: 'flowstep/training',
  description: 'Trains a flow of many steps on a data set by flow matching.',
  searchAliases: [
    'flow matching',
    'rectified flow',
    'diffusion training',
    'fine-tune',
    'from scratch',
  ],
  outputNode: true,
  inputs: z.object({
    dataset: FlowDatasetSchema.meta({ tooltip: 'What the flow learns to make.' }),
    network: z.enum(NETWORK_PRESET_NAMES).default('mlp-2d').meta({
      tooltip: 'Network to train; it must fit the shape of the data.',
    }),
    ...trainingInputs({
      steps: 6000,
      batch: 512,
      learningRate: 1e-3,
      warmup: 100,
      emaDecay: 0.995,
    }),
    ...densityInputs,
    seed: seedInput('Decides the first weights and every random draw of the training.', 'fixed'),
    ...runInputs,
    prompts: FlowPromptsSchema.optional().meta({
      tooltip: 'For networks that take text: one prompt for each class of the data, in order.',
    }),
    ...recomputeInput,
    ...flowTrainingInputs,
    ...evaluationInputs,
  }),
  outputs: {
    model: FlowModelSchema.meta({ tooltip: 'The trained teacher.' }),
    report: FlowReportSchema.meta({ tooltip: 'Loss and speed over the steps, for Loss Plot.' }),
  },
  fingerprint: evaluationFingerprint,
  async execute(inputs, context) {
    const dataset = await openDataset(inputs.dataset, context);
    const prompts = await openPromptSet(inputs.prompts, context);
    const network = networkFor(inputs.network, dataset, prompts);
    const options = loopOptions(inputs);
    tellLargeBatch(options.batch, dataset, context);
    using evaluation = await openEvaluation(inputs, { network, dataset, prompts }, context);
    const job = {
      dataset,
      network,
      ...(prompts && { prompts }),
      ...options,
      ...readFlowTraining(inputs),
    };
    const trainer = whole(() => new TeacherTrainer(job));
    const { name, models, stats, files } = await runTraining(
      trainer,
      { kind: 'teacher', node: ID, inputs, models: ['teacher'], evaluation },
      context,
    );
    return {
      outputs: {
        model: { type: 'FLOW_MODEL' as const, ...models.teacher },
        report: { type: 'FLOW_REPORT' as const, title: `Teacher ${name}`, ...stats },
      },
      files,
    };
  },
});

/** Such a batch has most samples several times over: it takes the time of a large one, and is worth a small one. */
function tellLargeBatch(batch: number, { name, whole }: Dataset, context: NodeContext): void {
  if (!whole || batch <= whole.count) return;
  context.onNotice?.(
    `the batch of ${batch} is larger than ${name}, which has ${whole.count} samples: a smaller one trains as well and faster`,
  );
}
