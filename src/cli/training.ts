/** @file What `flowstep train` and `flowstep distill` share: they build a workflow and run it. */
import { existsSync } from 'node:fs';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import type { ApiWorkflow } from '../host/api-workflow.ts';
import { executeWorkflow } from '../host/executor.ts';
import { requireValid } from '../host/validate.ts';
import { apiForm, parseWorkflow } from '../host/workflow.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import type { FlowNode } from '../nodes/define-node.ts';
import type { Roots } from '../nodes/node-context.ts';
import { promptSetNode } from '../nodes/prompt-set.ts';
import { isInside } from '../nodes/root-files.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { adoptPaths } from './adopt-paths.ts';
import { JSON_HELP } from './answer.ts';
import { datasetValues, type NamedDataset } from './dataset-options.ts';
import { executeForPeople } from './execute.ts';
import type { Io } from './io.ts';
import type { NodeOptions } from './node-options.ts';
import { PROMPTS_OPTION } from './options.ts';

export interface TrainingChoice {
  readonly out?: string;
  readonly saveWorkflow?: string;
  readonly json?: boolean;
  readonly prompts?: string;
}

/** A node of the workflow; a link is a value [node id, slot]. */
export interface PlannedNode {
  readonly node: FlowNode;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Adds --prompts, --out, --save-workflow and --json. */
export function addTrainingOptions(command: Command): Command {
  return command
    .option(...PROMPTS_OPTION)
    .option(
      '--out <DIR>',
      'folder for everything that is written (default: FLOWSTEP_OUTPUT or output)',
    )
    .option(
      '--save-workflow <FILE>',
      'write the workflow that runs, for `flowstep run` and ComfyUI',
    )
    .option('--json', JSON_HELP)
    .addHelpText(
      'after',
      '\nFiles may lie anywhere: for those outside of the models or data folder, the folder that\nholds them takes its place for this command.',
    );
}

/** Inputs of Flow Dataset that name files or folders. */
const DATA_PATHS = ['images', 'labels', 'folder', 'file'] as const;

/**
 * The data set's node with the paths that were typed, a node for the prompts, where there are any, and the folders to find
 * them in. `usual` is the data set where the options name none. Throws as `datasetValues`.
 */
export function planData(
  options: NodeOptions,
  given: Readonly<Record<string, unknown>>,
  wanted: {
    readonly usual?: NamedDataset | undefined;
    readonly prompts?: string | undefined;
  },
  before: Roots,
  io: Io,
): { dataset?: PlannedNode; prompts?: PlannedNode; roots: Roots } {
  const values = datasetValues(options, given, wanted.usual);
  const typed = DATA_PATHS.map((name) => [name, String(values?.[name] ?? '')]);
  const { prompts = '' } = wanted;
  // Flow Prompt Set looks below the output folder too, where it keeps its own files.
  const kept = outputName(prompts, before);
  const all = Object.fromEntries([...typed, ['prompts', kept === undefined ? prompts : '']]);
  const { roots, paths } = adoptPaths(before, 'data', all);
  tellRoot(io, before, roots, 'data', 'FLOWSTEP_DATA');
  const { prompts: promptsPath, ...dataPaths } = paths;
  return {
    ...(values && { dataset: { node: options.node, values: { ...values, ...dataPaths } } }),
    ...(prompts && { prompts: { node: promptSetNode, values: { file: kept ?? promptsPath } } }),
    roots,
  };
}

/** The name below the output folder of a file that lies there. */
export function outputName(file: string, { output }: Roots): string | undefined {
  const path = resolve(file);
  if (file === '' || !existsSync(path) || !isInside(output, path)) return undefined;
  return relative(output, path).split(sep).join('/');
}

/**
 * Values of a training node whose extractor may be typed as a path: the folder that holds it becomes one more folder of
 * models for this command. `before` are the folders before others took their place.
 */
export function planFeatures(
  values: Readonly<Record<string, unknown>>,
  before: Roots,
  roots: Roots,
  io: Io,
): { values: Readonly<Record<string, unknown>>; roots: Roots } {
  const features = String(values['features'] ?? '');
  if (features === '') return { values, roots };
  const path = resolve(features);
  const isPath = existsSync(path) && !isInside(before.models, path);
  const folder = isPath ? dirname(path) : before.models;
  const name = isPath ? basename(path) : existsSync(path) ? relative(folder, path) : features;
  const named = { ...values, features: name.split(sep).join('/') };
  if (folder === roots.models) return { values: named, roots };
  if (isPath)
    io.log.line(
      `extractor: ${path} (FLOWSTEP_MODELS must name its folder to run the workflow; resume knows it)`,
    );
  return {
    values: named,
    roots: { ...roots, moreModels: [folder, ...(roots.moreModels ?? [])] },
  };
}

/** A folder that only this command uses must be told: its workflow needs it again. */
export function tellRoot(
  io: Io,
  before: Roots,
  now: Roots,
  root: 'data' | 'models',
  variable: string,
): void {
  if (before[root] === now[root]) return;
  io.log.line(
    `${root} folder: ${now[root]} (set ${variable} to it to run the workflow; resume knows it)`,
  );
}

/** Runs the nodes, numbered from 1, as a workflow; --save-workflow writes it before it runs. */
export async function runPlan(
  plan: readonly PlannedNode[],
  roots: Roots,
  choice: TrainingChoice,
  io: Io,
): Promise<void> {
  const registry = allNodes();
  const what = 'the workflow of this command';
  const workflow = parseWorkflow(apiOf(plan), registry, what);
  await executeForPeople(io, {
    roots,
    json: choice.json,
    run: async (options) => {
      requireValid(workflow, registry, what);
      if (choice.saveWorkflow !== undefined) {
        const text = `${JSON.stringify(apiForm(workflow), null, 2)}\n`;
        const file = resolve(choice.saveWorkflow);
        await atomicWrite(file, [new TextEncoder().encode(text)]);
        io.log.line(`workflow: ${file}`);
      }
      return executeWorkflow(workflow, options);
    },
  });
}

/** The nodes as a workflow in the form that ComfyUI executes. */
export function apiOf(plan: readonly PlannedNode[]): ApiWorkflow {
  const api = plan.map(({ node, values }, i) => [
    String(i + 1),
    {
      class_type: node.definition.id,
      inputs: values,
      _meta: { title: node.definition.displayName },
    },
  ]);
  return Object.fromEntries(api);
}

/** The folders of a training command. */
export function rootsOf(choice: TrainingChoice, io: Io): Roots {
  return readRoots(io.environment, { output: choice.out });
}
