/** @file `flowstep train`: a flow matching teacher from data, without a workflow file. */
import type { Command } from 'commander';
import { trainTeacherNode } from '../nodes/train-teacher.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { addNodeOptions } from './node-options.ts';
import {
  addDatasetOptions,
  addTrainingOptions,
  planData,
  planFeatures,
  rootsOf,
  runPlan,
  type TrainingChoice,
} from './training.ts';

/** Adds the command to the program. */
export function addTrainCommand(program: Command, io: Io): void {
  const command = addTrainingOptions(addEngineOptions(program.command('train')))
    .description('Train a teacher, a flow of many steps, on a data set.')
    .addHelpText(
      'before',
      examples(
        'flowstep train --dataset 8g --network mlp-2d --steps 6000',
        'flowstep train --dataset fashion-mnist --network unet-fashion --batch 64 --run-name fashion',
        'flowstep train --dataset folder --folder pictures --size 32 --network dit-s',
      ),
    );
  const data = addDatasetOptions(command);
  const training = addNodeOptions(command, { node: trainTeacherNode, heading: 'Training' });
  command.action(async (given: TrainingChoice & Record<string, unknown>) => {
    const before = rootsOf(given, io);
    const wanted = { dataset: true, prompts: given.prompts };
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
