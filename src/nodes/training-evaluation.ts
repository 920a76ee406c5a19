/** @file Inputs of training nodes that have the model measured on the way, and what becomes of them. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import type { PromptSet } from '../trainer/data/prompts.ts';
import type { FeatureExtractor } from '../trainer/metrics/extractor.ts';
import { checkMeasure, decidingScore, measureModel } from '../trainer/metrics/measure-model.ts';
import type { NetworkConfig } from '../trainer/nn/config.ts';
import type { Evaluation } from '../trainer/run/evaluation.ts';
import { EVALUATED } from '../trainer/run/evaluation-prefix.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { openDataset } from './datasets.ts';
import { extractorFingerprint, openExtractor } from './extractors.ts';
import { FlowDatasetSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';

/** Of the noise: models of all steps start from the same. */
const SEED = 1;
/** Enough to tell which of two teachers is better; Evaluate Flow takes more. */
const TEACHER_STEPS = 20;

/** Where the model is measured while it is trained, with what, and how long the run waits for a better one. */
export const evaluationInputs = {
  evaluate_every: z.int().min(0).max(100_000_000).default(0).meta({
    tooltip:
      'Steps between evaluations against the data: the best model is kept as best.safetensors in the run folder; 0 = none.',
    step: 1,
  }),
  features: z.string().default('').meta({
    advanced: true,
    tooltip:
      'For evaluations of pictures: an .onnx extractor below the models folder, such as fashion/features.onnx, whose FID chooses the best model; empty = their fine detail chooses it.',
  }),
  evaluate_count: z.int().min(2).max(100_000).default(2000).meta({
    advanced: true,
    tooltip:
      'Samples of an evaluation: more are surer and slower; FID needs more than the extractor has features.',
    step: 1,
  }),
  patience: z.int().min(0).max(100_000).default(0).meta({
    advanced: true,
    tooltip: 'Evaluations in a row without a better model after which the run ends; 0 = never.',
    step: 1,
  }),
  evaluate_data: FlowDatasetSchema.optional().meta({
    tooltip: 'Data to evaluate against, such as a test split; left out, that of the dataset input.',
  }),
};

export type EvaluationInputs = z.infer<z.ZodObject<typeof evaluationInputs>>;

export interface EvaluatedRun {
  readonly network: NetworkConfig;
  /** What is compared with where the inputs do not say. */
  readonly dataset: Dataset | undefined;
  readonly prompts: PromptSet | undefined;
  /** The model as it is to be saved. */
  named?(model: FlowModel): FlowModel;
}

/** The evaluation that the inputs ask for, checked; undefined for none. Throws as `checkMeasure` and WORKFLOW_INVALID without data. */
export async function openEvaluation(
  inputs: EvaluationInputs,
  { network, dataset: trainedOn, prompts, named }: EvaluatedRun,
  context: NodeContext,
): Promise<(Evaluation & Disposable) | undefined> {
  const { evaluate_every: every, evaluate_count: count, patience, evaluate_data } = inputs;
  if (every === 0) return undefined;
  const dataset = evaluate_data ? await openDataset(evaluate_data, context) : trainedOn;
  if (!dataset) throw withoutData();
  const extractor = await openExtractor(inputs.features, context);
  try {
    return evaluationOf(dataset, extractor);
  } catch (error) {
    extractor?.[Symbol.dispose]();
    throw error;
  }

  function evaluationOf(data: Dataset, seenBy: FeatureExtractor | undefined) {
    const { metric, name, notice } = decidingScore(data, seenBy);
    const metrics = metric === 'energy-distance' ? [metric, 'modes-covered'] : [metric];
    checkMeasure(network, data, seenBy, { metrics, count });
    if (notice !== undefined) context.onNotice?.(notice);
    const told = new Set<string>();
    const options = { metrics, count, draws: 1, steps: TEACHER_STEPS, seed: SEED, prompts };
    return {
      every,
      patience,
      decidedBy: EVALUATED + name,
      ...(named && { named }),
      measure: async (model: FlowModel, signal?: AbortSignal) => {
        const found = await measureModel(model, data, seenBy, options, signal);
        for (const notice of found.notices) {
          if (!told.has(notice)) context.onNotice?.(notice);
          told.add(notice);
        }
        return Object.fromEntries(
          Object.entries(found.figures).map(([key, { value }]) => [EVALUATED + key, value]),
        );
      },
      [Symbol.dispose]: () => seenBy?.[Symbol.dispose](),
    };
  }
}

/** Of what the evaluations depend on besides the inputs: they decide which model is the best, and when a run ends. */
export async function evaluationFingerprint(
  { evaluate_every: every, features }: Pick<EvaluationInputs, 'evaluate_every' | 'features'>,
  context: NodeContext,
): Promise<string | undefined> {
  return every === 0 ? undefined : extractorFingerprint(features, context);
}

function withoutData(): FlowstepError {
  return new FlowstepError('WORKFLOW_INVALID', 'evaluations need data to compare with', {
    field: 'evaluate_data',
    hint: 'Connect Flow Dataset to evaluate_data (or give --dataset), or set evaluate_every to 0.',
  });
}
