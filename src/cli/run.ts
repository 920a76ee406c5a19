/** @file `flowstep run`: executes a workflow file. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Subject } from 'rxjs';
import { readRoots } from '../config.ts';
import { asFlowstepError } from '../errors.ts';
import type { ExecutionEvent } from '../host/executor.ts';
import { runWorkflowFile } from '../host/run-file.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { collect } from './options.ts';
import { showProgress } from './progress.ts';
import { errorJson } from './report-error.ts';

interface RunOptions {
  readonly set: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function addRunCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('run'))
    .description('Run a workflow file, as saved by ComfyUI with Export or Export (API).')
    .argument('<file>', 'workflow JSON')
    .option(
      '--set <NODE.INPUT=VALUE>',
      'change an input; NODE is an id, a title or a type; may be repeated',
      collect,
      [],
    )
    .option(
      '--out <DIR>',
      'folder for everything that is written (default: FLOWSTEP_OUTPUT or output)',
    )
    .option('--json', 'print what was done as JSON, errors too')
    .addHelpText(
      'before',
      examples(
        'flowstep run workflows/fgm-2d.json',
        'flowstep run workflows/fgm-2d.json --set "FGM Distill.steps=500" --out /tmp/try',
        'flowstep run workflows/fashion-one-step.json --set FlowstepOneStepSampler.seed=7 --json',
      ),
    )
    .action((file: string, options: RunOptions) => run(file, options, io));
}

async function run(file: string, options: RunOptions, io: Io): Promise<void> {
  try {
    const start = performance.now();
    const { nodes, files } = await execute(file, options, io);
    if (options.json) {
      const seconds = (performance.now() - start) / 1000;
      io.stdout.write(`${JSON.stringify({ ok: true, seconds, files, nodes }, null, 2)}\n`);
    } else {
      for (const path of files) io.stdout.write(`${path}\n`);
    }
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (options.json) {
      io.stdout.write(`${JSON.stringify({ ok: false, error: errorJson(error) }, null, 2)}\n`);
    }
    throw error;
  }
}

/** What each node did, and the absolute paths of all files written. */
async function execute(file: string, options: RunOptions, io: Io) {
  const roots = readRoots(io.environment, { output: options.out });
  const events = new Subject<ExecutionEvent>();
  const shown = showProgress(events, io.log, io.isTerminal);
  try {
    const nodes = await runWorkflowFile(file, {
      registry: allNodes(),
      roots,
      overrides: options.set,
      signal: io.signal,
      onEvent: (event) => events.next(event),
    });
    const files = nodes.flatMap((node) => node.files).map((path) => resolve(roots.output, path));
    return { nodes, files };
  } finally {
    shown.unsubscribe();
    io.log.status('');
  }
}
