/** @file `flowstep train`: a flow matching teacher from data, without a workflow file. */
import type { Command } from 'commander';
import { FlowstepError } from '../errors.ts';
import { loadModelNode } from '../nodes/load-model.ts';
import type { Roots } from '../nodes/node-context.ts';
import { trainTeacherNode } from '../nodes/train-teacher.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { nameModels } from './model-names.ts';
import { addNodeOptions, type NodeOptions } from './node-options.ts';
import {
  addDatasetOptions,
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
        'flowstep train --dataset fashion-mnist --network unet-fashion --batch 64 --run-name fashion',
        'flowstep train --dataset folder --folder pictures --size 32 --network dit-s',
        'flowstep train --start output/runs/cats/teacher.safetensors --dataset folder --folder more-cats --size 32',
      ),
    );
  const data = addDatasetOptions(command);
  const training = addNodeOptions(command, { node: trainTeacherNode, heading: 'Training' });
  command.action(async (given: TrainChoice & Record<string, unknown>) => {
    requireOneNetwork(training, given);
    const before = rootsOf(given, io);
    const { start, roots: withStart } = planStart(given, before, io);
    const wanted = { dataset: true, prompts: given.prompts };
    const { dataset, prompts, roots } = planData(data, given, wanted, withStart, io);
    const trained = planFeatures(training.values(given), before, roots, io);
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
  if (given.start === undefined || !training.given(given).includes('--network')) return;
  throw new FlowstepError('USAGE', '--network cannot be chosen with --start', {
    hint: 'The network is that of the model: leave --network out.',
  });
}
