#!/usr/bin/env node
/** @file The `flowstep` command: joins the command line to this process. */
import { EXIT_INTERRUPTED } from './cli/report-error.ts';
import { runCli } from './cli.ts';
import { createLog } from './log.ts';

const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The first stops in order and keeps what was trained; the second means it.
    if (abort.signal.aborted) process.exit(EXIT_INTERRUPTED);
    abort.abort();
  });
}

// A reader such as `head` may close the pipe early; that is its right.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  log: createLog(process.stderr),
  isTerminal: process.stderr.isTTY === true,
  environment: process.env,
  signal: abort.signal,
});
