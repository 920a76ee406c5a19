/** @file The command line: builds the program, runs it, turns errors into messages and exit codes. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { addBenchCommand } from './cli/bench.ts';
import { examples, type Io } from './cli/io.ts';
import { addNodesCommand } from './cli/nodes.ts';
import { EXIT_OK, EXIT_USAGE, errorText, exitCodeOf } from './cli/report-error.ts';
import { addRunCommand } from './cli/run.ts';
import { addSampleCommand } from './cli/sample.ts';
import { asFlowstepError } from './errors.ts';

/** Runs the command line `args` (without node and script); returns the exit code. */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  try {
    await buildProgram(io).parseAsync([...args], { from: 'user' });
    return EXIT_OK;
  } catch (thrown) {
    // Commander has said what is wrong already.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    const error = asFlowstepError(thrown);
    io.log.line(errorText(error));
    return exitCodeOf(error.code);
  }
}

/** The program with all its commands. */
export function buildProgram(io: Io): Command {
  const program = new Command('flowstep')
    .description('One-step image generation by Flow Generator Matching, in node graphs.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.log.line(text.trimEnd()),
    })
    .addHelpText(
      'before',
      examples(
        'flowstep run workflows/fgm-2d.json',
        'flowstep sample --model models/fashion/student.safetensors --count 64 --out fashion.png',
        'flowstep nodes',
      ),
    );
  addRunCommand(program, io);
  addSampleCommand(program, io);
  addNodesCommand(program, io);
  addBenchCommand(program, io);
  return program;
}

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}
