/** @file `flowstep train`: a flow matching teacher from data, without a workflow file. */
import type { Command } from 'commander';
import { FlowstepError } from '../errors.ts';
import { loadModelNode } from '../nodes/load-model.ts';
import type { Roots } from '../nodes/node-context.ts';
import { trainTeacherNode } from '../nodes/train-teacher.ts';
import { POINT_SET_NAMES } from '../trainer/data/points.ts';
import { addDatasetOptions } from './dataset-options.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { nameModels } from './model-names.ts';
import { addNodeOptions, type NodeOptions, type OptionChange } from './node-options.ts';
import {
  addTrainingOptions,
  type PlannedNode,
  planData,
  planFeatures,
  rootsOf,
  runPlan,
  type TrainingChoice,
  tellRoot,
} from './training.ts';

interface TrainChoice extends TrainingChoice {
  readonly start?: string;
}

/** What is learned where no data set is named. */
const USUAL_DATA = { source: '8g' } as const;

/**
 * What is taken for pictures and latents where nothing is said, as in workflows/train-on-folder.json: the node's own
 * defaults are for points in the plane.
 */
const USUAL_BEYOND_POINTS = {
  network: 'dit-s',
  batch: 64,
  learning_rate: 3e-4,
  warmup: 500,
  ema_decay: 0.999,
} as const;
/** The same for times of training; another density has the node's range, as not every one can go to 1. */
const USUAL_TIMES = { density: 'logit-normal', t_min: 0, t_max: 1 } as const;

function usualFor(source: unknown, given: Readonly<Record<string, unknown>>) {
  if (POINT_SET_NAMES.some((name) => name === source)) return {};
  const { density = USUAL_TIMES.density } = given;
  return { ...USUAL_BEYOND_POINTS, ...(density === USUAL_TIMES.density && USUAL_TIMES) };
}

/** Both defaults, for the help. */
function usualTexts(): Record<string, OptionChange> {
  const all = { ...USUAL_BEYOND_POINTS, ...USUAL_TIMES };
  const { inputs } = trainTeacherNode.definition;
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => {
      const points = inputs.find((input) => input.name === name)!.default;
      return [name, { usual: `${points} for points, ${value} for other data` }];
    }),
  );
}

/** Adds the command to the program. */
export function addTrainCommand(program: Command, io: Io): void {
  const command = addTrainingOptions(addEngineOptions(program.command('train')))
    .description('Train a teacher, a flow of many steps, on a data set.')
    .option(
      '--start <FILE>',
      'model file of a teacher to start from, with its network: to go on with other data, say',
    )
    .addHelpText(
      'before',
      examples(
        'flowstep train --dataset 8g --network mlp-2d --steps 6000',
        'flowstep train --dataset fashion-mnist --network unet-fashion --run-name fashion',
        'flowstep train --folder pictures --size 32',
        'flowstep train --start output/runs/cats/teacher.safetensors --folder more-cats --size 32',
      ),
    );
  const data = addDatasetOptions(command, USUAL_DATA.source);
  const training = addNodeOptions(command, {
    node: trainTeacherNode,
    heading: 'Training',
    changes: usualTexts(),
  });
  command.action(async (given: TrainChoice & Record<string, unknown>) => {
    requireOneNetwork(training, given);
    const before = rootsOf(given, io);
    const { start, roots: withStart } = planStart(given, before, io);
    const wanted = { usual: USUAL_DATA, prompts: given.prompts };
    const { dataset, prompts, roots } = planData(data, given, wanted, withStart, io);
    const trainingValues = training.values(given, usualFor(dataset!.values['source'], given));
    const trained = planFeatures(trainingValues, before, roots, io);
    const more = Object.entries({ prompts, start }).filter(
      (entry): entry is [string, PlannedNode] => entry[1] !== undefined,
    );
    const values = {
      dataset: ['1', 0],
      ...trained.values,
      ...Object.fromEntries(more.map(([input], i) => [input, [String(i + 3), 0]])),
    };
    const nodes = [dataset!, { node: trainTeacherNode, values }, ...more.map(([, node]) => node)];
    await runPlan(nodes, trained.roots, given, io);
  });
}

/** A loader of the model to start from, and the folders to find it in. */
function planStart(
  { start }: TrainChoice,
  before: Roots,
  io: Io,
): { readonly start?: PlannedNode; readonly roots: Roots } {
  if (start === undefined) return { roots: before };
  const { names, roots } = nameModels({ start }, before);
  tellRoot(io, before, roots, 'models', 'FLOWSTEP_MODELS');
  return { start: { node: loadModelNode, values: { file: names['start'] } }, roots };
}

function requireOneNetwork(training: NodeOptions, given: TrainChoice & Record<string, unknown>) {
  const chosen = training.given(given).some(({ option }) => option === '--network');
  if (given.start === undefined || !chosen) return;
  throw new FlowstepError('USAGE', '--network cannot be chosen with --start', {
    hint: 'The network is that of the model: leave --network out.',
  });
}
