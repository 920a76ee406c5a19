/** @file Evaluate Flow: how far a model is from data, beside its teacher at several numbers of steps. */
import { z } from 'zod';
import { seedInput } from './common-inputs.ts';
import { openDataset, openPromptSet } from './datasets.ts';
import { defineNode } from './define-node.ts';
import {
  evaluationPlot,
  evaluationTable,
  readSolvers,
  readSteps,
  tableLines,
  words,
} from './evaluation-table.ts';
import { extractorFingerprint, openExtractor } from './extractors.ts';
import { openModel, openTeacher } from './flow-models.ts';
import { cfgTMaxInput, readGuidance } from './guidance-inputs.ts';
import { FlowDatasetSchema, FlowModelSchema, FlowPromptsSchema, ImageSchema } from './handles.ts';
import { toImageTensor } from './pictures/picture.ts';

/** Of the noise: sweeps take the same, and then give the same numbers. */
const SEED = 1;

/** What both node and command are told as values. */
export const EvaluationFieldsSchema = z.object({
  features: z.string().default('').meta({
    tooltip:
      'For pictures: an .onnx extractor below the models folder, such as fashion/features.onnx. Scores carry its name. Empty = fine-detail-gap alone.',
  }),
  count: z.int().min(2).max(100_000).default(10_000).meta({
    tooltip: 'Samples of each row: more are surer; compare only scores of equally many.',
    step: 1,
  }),
  metrics: z.string().default('').meta({
    tooltip:
      'Which, separated by commas, such as fid,recall or energy-distance; empty = all that there are. The plot shows the first.',
  }),
  steps: z.string().default('1,2,4,8,50').meta({
    tooltip: 'Numbers of steps of flows of many steps, separated by commas; students take theirs.',
  }),
  solvers: z.string().default('euler,heun').meta({
    tooltip: 'Solvers of flows of many steps, separated by commas: euler, heun.',
  }),
  seed: seedInput('Decides the noise that all samples start from.', 'fixed', SEED),
  draws: z.int().min(1).max(1000).default(5).meta({
    tooltip:
      'For points: independent draws of count points that are averaged, as a single one has a spread of 0.0004.',
    step: 1,
  }),
  cfg: z.number().min(1).max(100).default(1).meta({
    tooltip: 'Classifier-free guidance of flows of many steps; 1 = none.',
    step: 0.1,
  }),
  ...cfgTMaxInput,
});

export const evaluateNode = defineNode({
  id: 'FlowstepEvaluate',
  displayName: 'Evaluate Flow',
  category: 'flowstep/training',
  description:
    'Measures a student or teacher against data, beside its teacher at several numbers of steps.',
  searchAliases: ['FID', 'KID', 'metrics', 'precision recall', 'benchmark', 'compare models'],
  outputNode: true,
  inputs: z.object({
    model: FlowModelSchema.meta({ tooltip: 'The model to measure.' }),
    dataset: FlowDatasetSchema.meta({
      tooltip: 'What it is compared with: all pictures of the set, usually a test split.',
    }),
    ...EvaluationFieldsSchema.shape,
    teacher: FlowModelSchema.optional().meta({
      tooltip: 'A flow of many steps to set beside the model.',
    }),
    prompts: FlowPromptsSchema.optional().meta({
      tooltip: 'For models that take text: what they are asked for, each prompt in turn.',
    }),
  }),
  outputs: {
    report: z.string().meta({
      tooltip: 'The table as JSON: scores, network evaluations and seconds a sample of each row.',
    }),
    image: ImageSchema.meta({
      tooltip: 'The first score over network evaluations, and the table.',
    }),
  },
  fingerprint: ({ features }, context) => extractorFingerprint(features, context),
  async execute(inputs, context) {
    const { count, draws, seed } = inputs;
    const [steps, solvers] = [readSteps(inputs.steps), readSolvers(inputs.solvers)];
    const dataset = await openDataset(inputs.dataset, context);
    const model = await openModel(inputs.model, context);
    const teacher = inputs.teacher && (await openTeacher(inputs.teacher, context));
    const prompts = await openPromptSet(inputs.prompts, context);
    using extractor = await openExtractor(inputs.features, context);
    const report = await evaluationTable(
      {
        ...{ model, teacher, dataset, extractor, count, draws, steps, solvers, seed, prompts },
        guidance: readGuidance(inputs),
        metrics: words(inputs.metrics),
      },
      context,
    );
    context.onNotice?.([...tableLines(report), ...report.notices].join('\n'));
    return {
      outputs: {
        report: JSON.stringify(report, null, 2),
        image: toImageTensor(evaluationPlot(report)),
      },
    };
  },
});
