/** @file `flowstep distill`: a student of one or few steps from a teacher file, without a workflow file. */
import type { Command } from 'commander';
import { distillNode } from '../nodes/distill.ts';
import { loadModelNode } from '../nodes/load-model.ts';
import type { Roots } from '../nodes/node-context.ts';
import { onlineFlowNode } from '../nodes/online-flow.ts';
import { addDatasetOptions } from './dataset-options.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { nameModels } from './model-names.ts';
import { addNodeOptions } from './node-options.ts';
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

interface DistillChoice extends TrainingChoice {
  readonly teacher: string;
  readonly student?: string;
  readonly online?: string;
}

/** Adds the command to the program. */
export function addDistillCommand(program: Command, io: Io): void {
  const command = addTrainingOptions(addEngineOptions(program.command('distill')))
    .description(
      'Distil a teacher into a student of one step, or a few, by Flow Generator Matching.',
    )
    .requiredOption('--teacher <FILE>', 'model file of the teacher (.safetensors)')
    .option('--student <FILE>', 'model file of a student to go on with')
    .option('--online <FILE>', "its run's online.safetensors, to go on with too")
    .addHelpText(
      'before',
      examples(
        'flowstep distill --teacher models/fashion/teacher.safetensors --steps 1200 --schedule linear',
        'flowstep distill --teacher output/runs/points/teacher.safetensors --online-updates 5 --run-name points-student',
        'flowstep distill --teacher teacher.safetensors --student-steps 4 --save-workflow distill.json',
      ),
    );
  const distilling = addNodeOptions(command, { node: distillNode, heading: 'Training' });
  const online = addNodeOptions(command, {
    node: onlineFlowNode,
    heading: 'Online flow',
    prefix: 'online-',
  });
  // Distilling needs no data; it is for --real-alpha, --gan-weight and --evaluate-every.
  const data = addDatasetOptions(command, 'none');
  command.action(async (given: DistillChoice & Record<string, unknown>) => {
    const before = rootsOf(given, io);
    const { models, roots } = planModels(given, before, io);
    const found = planData(data, given, { prompts: given.prompts }, roots, io);
    const trained = planFeatures(distilling.values(given), before, found.roots, io);
    const more = Object.entries({
      dataset: found.dataset,
      student: models.student,
      prompts: found.prompts,
      model: models.online,
    }).filter((entry): entry is [string, PlannedNode] => entry[1] !== undefined);
    const links = Object.fromEntries(more.map(([input], i) => [input, [String(i + 4), 0]]));
    const { model, ...distilled } = links;
    const nodes: PlannedNode[] = [
      models.teacher!,
      {
        node: onlineFlowNode,
        values: { teacher: ['1', 0], ...online.values(given), ...(model && { model }) },
      },
      {
        node: distillNode,
        values: {
          teacher: ['1', 0],
          online: ['2', 0],
          ...trained.values,
          ...distilled,
        },
      },
      ...more.map(([, node]) => node),
    ];
    await runPlan(nodes, trained.roots, given, io);
  });
}

const MODELS = ['teacher', 'student', 'online'] as const;

interface PlannedModels {
  /** By option, those that are given. */
  readonly models: Readonly<Partial<Record<(typeof MODELS)[number], PlannedNode>>>;
  readonly roots: Roots;
}

/** Loaders of the models that are named. */
function planModels(given: DistillChoice, before: Roots, io: Io): PlannedModels {
  const typed = MODELS.flatMap((key) => (given[key] === undefined ? [] : [[key, given[key]]]));
  const { names, roots } = nameModels(Object.fromEntries(typed), before);
  tellRoot(io, before, roots, 'models', 'FLOWSTEP_MODELS');
  const models = Object.entries(names).map(([key, file]) => [
    key,
    { node: loadModelNode, values: { file } },
  ]);
  return { models: Object.fromEntries(models), roots };
}
