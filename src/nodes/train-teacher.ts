/** @file Train Flow Teacher: flow matching from data to a FLOW_MODEL. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import type { FlowModel } from '../trainer/run/model.ts';
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
import { openModel } from './flow-models.ts';
import { flowTrainingInputs, readFlowTraining } from './flow-training-inputs.ts';
import {
  FlowDatasetSchema,
  type FlowModelHandle,
  FlowModelSchema,
  FlowPromptsSchema,
  FlowReportSchema,
} from './handles.ts';
import { fittedToSamples } from './model-size.ts';
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
      tooltip:
        'Network to train; it must fit the shape of the data. Not used with start, which brings its own.',
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
    start: FlowModelSchema.optional().meta({
      tooltip:
        'A teacher to start from, with its network in place of the one above: to go on with other data, say. Left out, training starts from random weights.',
    }),
  }),
  outputs: {
    model: FlowModelSchema.meta({ tooltip: 'The trained teacher.' }),
    report: FlowReportSchema.meta({ tooltip: 'Loss and speed over the steps, for Loss Plot.' }),
  },
  fingerprint: evaluationFingerprint,
  async execute(inputs, context) {
    const dataset = await openDataset(inputs.dataset, context);
    const prompts = await openPromptSet(inputs.prompts, context);
    const start = await startModelOf(inputs.start, dataset, context);
    const network = start?.info.network ?? networkFor(inputs.network, dataset, prompts);
    const options = loopOptions(inputs);
    tellLargeBatch(options.batch, dataset, context);
    using evaluation = await openEvaluation(inputs, { network, dataset, prompts }, context);
    const job = {
      dataset,
      network,
      ...(start && { start }),
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

/** A teacher to start from, for samples as the data has them; throws MODEL_INVALID when it is none. */
async function startModelOf(
  start: FlowModelHandle | undefined,
  { shape }: Dataset,
  context: NodeContext,
): Promise<FlowModel | undefined> {
  if (!start) return undefined;
  const model = await openModel(start, context);
  if (model.info.role === 'teacher') return fittedToSamples(model, shape);
  const { path } = start.loras?.at(-1)?.file ?? start;
  throw new FlowstepError('MODEL_INVALID', `${path} is a ${model.info.role}, not a teacher`, {
    field: 'start',
    hint: 'Start from a flow of many steps; FGM Distill goes on with a student (--student of distill).',
  });
}
