/** @file `flowstep run`: executes a workflow file. */
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import { runWorkflowFile } from '../host/run-file.ts';
import { addEngineOptions } from './engine-options.ts';
import { executeForPeople } from './execute.ts';
import { examples, type Io } from './io.ts';
import { collect } from './options.ts';

interface RunOptions {
  readonly set: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function addRunCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('run'))
    .description(
      'Run a workflow: a file saved by ComfyUI with Export or Export (API), or a PNG that carries one.',
    )
    .argument('<file>', 'workflow JSON, or a picture by Save Image')
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
    .option('--json', 'print what was done as JSON: outputs, files and times by node; errors too')
    .addHelpText(
      'before',
      examples(
        'flowstep run workflows/fgm-2d.json',
        'flowstep run workflows/fgm-2d.json --set "FGM Distill.steps=500" --out /tmp/try',
        'flowstep run workflows/fashion-one-step.json --set FlowstepOneStepSampler.seed=7 --json',
        'flowstep run output/fashion-one-step/sample_00001_.png',
      ),
    )
    .action((file: string, options: RunOptions) => run(file, options, io));
}

function run(file: string, { set, out, json }: RunOptions, io: Io): Promise<void> {
  const roots = readRoots(io.environment, { output: out });
  return executeForPeople(io, {
    roots,
    json,
    run: (options) => runWorkflowFile(file, { ...options, overrides: set }),
  });
}
