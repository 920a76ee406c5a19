/** @file The command line: builds the program, runs it, turns errors into messages and exit codes. */
import { Command, CommanderError } from 'commander';
import { printFailure } from './cli/answer.ts';
import { addBenchCommand } from './cli/bench.ts';
import { addConvertCommand } from './cli/convert.ts';
import { addDistillCommand } from './cli/distill.ts';
import { addDoctorCommand } from './cli/doctor.ts';
import { addEvalCommand } from './cli/eval.ts';
import { addExportCommand } from './cli/export.ts';
import { addInspectCommand } from './cli/inspect.ts';
import { examples, type Io } from './cli/io.ts';
import { addMetricsCommand } from './cli/metrics.ts';
import { addNodesCommand } from './cli/nodes.ts';
import { addPlanCommand } from './cli/plan.ts';
import { CommandFailed, EXIT_FAILURE, EXIT_OK, errorText, exitCodeOf } from './cli/report-error.ts';
import { addResumeCommand } from './cli/resume.ts';
import { addRunCommand } from './cli/run.ts';
import { addSampleCommand } from './cli/sample.ts';
import { addServeCommand } from './cli/serve.ts';
import { addSweepCommand } from './cli/sweep.ts';
import { addTrainCommand } from './cli/train.ts';
import { addVerifyCommand } from './cli/verify.ts';
import { asFlowstepError, FlowstepError } from './errors.ts';
import { PACKAGE_VERSION } from './version.ts';

/** Runs the command line `args` (without node and script); returns the exit code. */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  try {
    await buildProgram(io).parseAsync([...args], { from: 'user' });
    return EXIT_OK;
  } catch (thrown) {
    // The command has printed what is wrong, as it was asked to.
    if (thrown instanceof CommandFailed) return EXIT_FAILURE;
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT_OK;
    const error = thrown instanceof CommanderError ? usageError(thrown) : asFlowstepError(thrown);
    if (isJsonWanted(args)) printFailure(io, error);
    // Commander has said what is wrong already.
    if (!(thrown instanceof CommanderError)) io.log.line(errorText(error));
    return exitCodeOf(error.code);
  }
}

/** Whether --json was typed; options that are wrong never come to a command, so it is looked for by name. */
function isJsonWanted(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

/** What Commander says, `error: what is wrong` with a line of advice where it has some. */
function usageError({ message }: CommanderError): FlowstepError {
  const [what = '', ...advice] = message.replace(/^error: /, '').split('\n');
  return new FlowstepError('USAGE', what, {
    hint:
      advice.join(' ').replace(/^\((.*)\)$/, '$1') ||
      'flowstep --help lists the commands, flowstep COMMAND --help their options.',
  });
}

/** The program with all its commands. */
export function buildProgram(io: Io): Command {
  const program = new Command('flowstep')
    .description('One-step image generation by Flow Generator Matching, in node graphs.')
    .version(PACKAGE_VERSION)
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
        'flowstep train --dataset 8g --steps 6000 --run-name points',
        'flowstep distill --teacher output/runs/points/teacher.safetensors --online-updates 5',
        'flowstep doctor',
      ),
    );
  addRunCommand(program, io);
  addSampleCommand(program, io);
  addTrainCommand(program, io);
  addDistillCommand(program, io);
  addResumeCommand(program, io);
  addEvalCommand(program, io);
  addSweepCommand(program, io);
  addExportCommand(program, io);
  addInspectCommand(program, io);
  addVerifyCommand(program, io);
  addMetricsCommand(program, io);
  addNodesCommand(program, io);
  addConvertCommand(program, io);
  addPlanCommand(program, io);
  addBenchCommand(program, io);
  addDoctorCommand(program, io);
  addServeCommand(program, io);
  return program;
}
