/** @file `flowstep train`: a flow matching teacher from data, without a workflow file. */
import type { Command } from 'commander';
import { trainTeacherNode } from '../nodes/train-teacher.ts';
import { addDatasetOptions } from './dataset-options.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { addNodeOptions } from './node-options.ts';
import {
  addTrainingOptions,
  planData,
  planFeatures,
  rootsOf,
  runPlan,
  type TrainingChoice,
} from './training.ts';

/** What is learned where no data set is named. */
const USUAL_DATA = { source: '8g' } as const;

/** Adds the command to the program. */
export function addTrainCommand(program: Command, io: Io): void {
  const command = addTrainingOptions(addEngineOptions(program.command('train')))
    .description('Train a teacher, a flow of many steps, on a data set.')
    .addHelpText(
      'before',
      examples(
        'flowstep train --dataset 8g --network mlp-2d --steps 6000',
        'flowstep train --dataset fashion-mnist --network unet-fashion --batch 64 --run-name fashion',
        'flowstep train --folder pictures --size 32 --network dit-s',
      ),
    );
  const data = addDatasetOptions(command, USUAL_DATA.source);
  const training = addNodeOptions(command, { node: trainTeacherNode, heading: 'Training' });
  command.action(async (given: TrainingChoice & Record<string, unknown>) => {
    const before = rootsOf(given, io);
    const wanted = { usual: USUAL_DATA, prompts: given.prompts };
    const { dataset, prompts, roots } = planData(data, given, wanted, before, io);
    const trained = planFeatures(training.values(given), before, roots, io);
    const values = {
      dataset: ['1', 0],
      ...trained.values,
      ...(prompts && { prompts: ['3', 0] }),
    };
    const nodes = [dataset!, { node: trainTeacherNode, values }, ...(prompts ? [prompts] : [])];
    await runPlan(nodes, trained.roots, given, io);
  });
}
