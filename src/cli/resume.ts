/** @file `flowstep resume`: goes on with a training run where it stopped, from its folder alone. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import { FlowstepError } from '../errors.ts';
import { executeWorkflow } from '../host/executor.ts';
import type { Workflow } from '../host/workflow.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import type { Roots } from '../nodes/node-context.ts';
import { foldersOf } from '../nodes/root-files.ts';
import { RUN_FILE, type RunFile, type RunRequest, readRunFile } from '../trainer/run/run-file.ts';
import { engine } from '../trainer/runtime/engine.ts';
import { DEVICES } from '../trainer/runtime/library.ts';
import { JSON_HELP } from './answer.ts';
import {
  addEngineChoices,
  type EngineChoice,
  resolveDevice,
  settingsOf,
} from './engine-options.ts';
import { executeForPeople } from './execute.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface ResumeOptions extends EngineChoice {
  readonly steps?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** Folder of runs in the output folder. */
const RUNS = 'runs';
const MAX_STEPS = 100_000_000;

/** Adds the command to the program. */
export function addResumeCommand(program: Command, io: Io): void {
  const same = 'as the run had it last';
  addEngineChoices(program.command('resume'), { device: same, threads: same })
    .description('Go on with a training run where it stopped, or train it for longer.')
    .argument('<run>', 'name of a run below runs/ in the output folder, or the path of its folder')
    .option('--steps <N>', 'steps in all (default: as before)', wholeNumber(1, MAX_STEPS))
    .option('--out <DIR>', 'output folder of the run (default: FLOWSTEP_OUTPUT or output)')
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep resume points-student',
        'flowstep resume output/runs/points-student --steps 4000',
      ),
    )
    .action((run: string, options: ResumeOptions, command: Command) =>
      resume(run, options, command, io),
    );
}

async function resume(
  run: string,
  options: ResumeOptions,
  command: Command,
  io: Io,
): Promise<void> {
  const roots = locate(run, readRoots(io.environment, { output: options.out }));
  await executeForPeople(io, {
    roots: roots.roots,
    json: options.json,
    run: async (execution) => {
      const record = await readRunFile(roots.folder);
      const request = requestOf(record, roots.folder);
      await startEngine(options, record, command);
      return executeWorkflow(oneNode(request, roots.folder, options.steps), {
        ...execution,
        roots: knownRoots(roots.roots, request, io),
      });
    },
  });
}

/** The run's folder, and the folders of which its node finds it in `runs/`. */
function locate(run: string, roots: Roots): { folder: string; roots: Roots } {
  const [path, named] = [resolve(run), join(roots.output, RUNS, run)];
  const isRun = (folder: string) => existsSync(join(folder, RUN_FILE));
  // What is here under a run's name may be anything, such as the data that it learns from.
  if (!isRun(path) && (isRun(named) || !existsSync(path))) return { folder: named, roots };
  if (basename(dirname(path)) === RUNS) {
    return { folder: path, roots: { ...roots, output: dirname(dirname(path)) } };
  }
  if (!isRun(path)) {
    throw new FlowstepError('USAGE', `${run} is not the folder of a run`, {
      hint: `One holds a ${RUN_FILE}. A name is looked for in ${join(roots.output, RUNS)}, where there is no ${run}.`,
    });
  }
  throw new FlowstepError('USAGE', `${run} is not in a folder named ${RUNS}`, {
    hint: `Runs are found by that: move it to OUTPUT/${RUNS}/ and give --out OUTPUT.`,
  });
}

/** The folders with those in which the run has found its files before: a command may have used some of its own. */
function knownRoots(roots: Roots, { folders }: RunRequest, { environment }: Io): Roots {
  if (!folders) return roots;
  const order = (root: 'data' | 'models') => {
    const here = foldersOf(roots, root);
    // A variable that is set is what the user wants now; a default is not.
    const isSet = environment[`FLOWSTEP_${root.toUpperCase()}`] !== undefined;
    const all = isSet
      ? [...here, ...folders[root]]
      : [...folders[root], ...here.filter(existsSync)];
    // Those that are gone stay, so that an error names them too.
    const [there, gone] = [true, false].map((is) => all.filter((at) => existsSync(at) === is));
    return [...new Set([...there!, ...gone!])];
  };
  const [data = roots.data, ...moreData] = order('data');
  const [models = roots.models, ...moreModels] = order('models');
  return { ...roots, data, moreData, models, moreModels };
}

function requestOf(record: RunFile, folder: string): RunRequest {
  const { request } = record;
  if (request && allNodes().find(request.node)) return request;
  const why = request ? `asks for the unknown node ${request.node}` : 'does not say what made it';
  throw new FlowstepError('FILE_FORMAT', `the run in ${folder} ${why}`, {
    file: folder,
    hint: 'Run the workflow or program that made it once more; it goes on with the run.',
  });
}

/** The same device and number of threads give the same bits as if the run had never stopped. */
async function startEngine(
  choice: EngineChoice,
  { sessions }: RunFile,
  command: Command,
): Promise<void> {
  const last = sessions.at(-1);
  const before = DEVICES.find((name) => name === last?.device);
  const { device } = await resolveDevice(choice.device ?? before ?? 'cpu', command);
  const threads = Math.min(last?.threads ?? Number.POSITIVE_INFINITY, availableParallelism());
  const precision = choice.precision ?? (device === before ? last?.precision : undefined);
  const settings = settingsOf(device, { ...choice, ...(precision && { precision }) });
  engine({ device, threads: choice.threads ?? threads, ...settings });
}

/** The node with the values and handles that it ran with. */
function oneNode({ node, inputs }: RunRequest, folder: string, steps?: number): Workflow {
  const values = {
    ...inputs,
    run_name: basename(folder),
    resume: 'must',
    ...(steps !== undefined && { steps }),
  };
  const constants = Object.entries(values).map(([name, value]) => [
    name,
    { kind: 'constant' as const, value },
  ]);
  const title = allNodes().find(node)?.definition.displayName;
  return new Map([['1', { id: '1', type: node, title, inputs: Object.fromEntries(constants) }]]);
}
