#!/usr/bin/env node
/** @file The `flowstep` command: joins the command line to this process. */
import { EXIT_FAILURE, EXIT_INTERRUPTED, errorText } from './cli/report-error.ts';
import { runCli } from './cli.ts';
import { FlowstepError } from './errors.ts';
import { createLog } from './log.ts';

const log = createLog(process.stderr);
const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The first stops in order and keeps what was trained; the second means it.
    if (abort.signal.aborted) process.exit(EXIT_INTERRUPTED);
    abort.abort();
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader such as `head` may close the pipe early; that is its right. What else is lost is told once.
  if (error.code === 'EPIPE' || process.exitCode === EXIT_FAILURE) return;
  process.exitCode = EXIT_FAILURE;
  const lost = new FlowstepError('FILE_UNWRITABLE', `stdout cannot be written: ${error.message}`, {
    hint: 'Make room where it is redirected to, or redirect it elsewhere.',
  });
  log.line(errorText(lost));
});

const exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  log,
  isTerminal: process.stderr.isTTY === true,
  environment: process.env,
  signal: abort.signal,
});
process.exitCode ||= exitCode;
