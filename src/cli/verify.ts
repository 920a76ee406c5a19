/** @file `flowstep verify`: whether files are whole and what they say they are. */
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import { type Verification, verify } from '../host/verify.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { JSON_HELP, printJson } from './answer.ts';
import { addIdentityCommand } from './identity.ts';
import { examples, type Io } from './io.ts';
import { CommandFailed } from './report-error.ts';

/** Adds the command to the program. */
export function addVerifyCommand(program: Command, io: Io): void {
  const command = program
    .command('verify')
    // What follows `identity` are its own options.
    .enablePositionalOptions()
    .description(
      'Check that files are whole and what they say they are: models, checkpoints, run folders, workflows, PNG and .onnx.',
    )
    .argument('<files...>', 'files, or folders of runs')
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep verify models/fashion/*.safetensors workflows/*.json',
        'flowstep verify output/runs/points-student --json',
      ),
    )
    .action((files: string[], options: { json?: boolean }) => verifyAll(files, options, io));
  addIdentityCommand(command, io);
}

async function verifyAll(
  files: readonly string[],
  { json }: { json?: boolean },
  io: Io,
): Promise<void> {
  const around = { registry: allNodes(), roots: readRoots(io.environment) };
  const found: Verification[] = [];
  for (const file of files) {
    const verification = await verify(file, around);
    found.push(verification);
    if (!json) io.stdout.write(`${verdict(verification)}\n`);
  }
  const isOk = found.every(({ ok }) => ok);
  if (json) printJson(io, { ok: isOk, files: found });
  if (!isOk) throw new CommandFailed();
}

function verdict({ ok, file, kind, checked, problems }: Verification): string {
  return ok
    ? `ok      ${file}: ${kind} (${checked.join(', ')})`
    : `FAILED  ${file}: ${problems.join('; ')}`;
}
