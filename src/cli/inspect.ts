/** @file `flowstep inspect`: what a file or run folder is and holds. */
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import { inspect } from '../host/inspect.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { answer, JSON_HELP } from './answer.ts';
import { factLines } from './facts.ts';
import { examples, type Io } from './io.ts';

/** Adds the command to the program. */
export function addInspectCommand(program: Command, io: Io): void {
  program
    .command('inspect')
    .description(
      'Show what a file holds: a model, a checkpoint or other .safetensors, an .onnx, a workflow, a PNG with its workflow, or the folder of a run.',
    )
    .argument('<file>', 'file, or folder of a run')
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep inspect models/fashion/student.safetensors',
        'flowstep inspect output/runs/points-student',
        'flowstep inspect lora.safetensors --json',
      ),
    )
    .action((file: string, options: { json?: boolean }) =>
      answer(
        io,
        options.json,
        () => inspect(file, { registry: allNodes(), roots: readRoots(io.environment) }),
        factLines,
      ),
    );
}
