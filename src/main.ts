#!/usr/bin/env node
/** @file The `flowstep` command: joins the command line to this process. */
import { isatty } from 'node:tty';
import { EXIT_FAILURE, EXIT_INTERRUPTED, errorText } from './cli/report-error.ts';
import { runCli } from './cli.ts';
import { FlowstepError } from './errors.ts';
import { createLog } from './log.ts';

const log = createLog(process.stderr);
const abort = new AbortController();
const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
let asked = 0;
let isHungUp = false;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // The first stops in order and keeps what was trained; the second means it. A terminal that closes sends SIGHUP
    // more than once, and a session that ends SIGTERM after it: that is still the first.
    if (name === 'SIGHUP') isHungUp = true;
    else asked++;
    if (asked > 1) process.exit(EXIT_INTERRUPTED);
    if (abort.signal.aborted) return;
    log.line(name === 'SIGINT' ? 'Stopping; Ctrl-C again ends it now.' : `Stopping (${name}).`);
    abort.abort();
  });
}

// Node aborts at its end where the terminal that it had is gone. It ends by the signal then, as if it had not caught it.
process.on('exit', () => {
  if (!isHungUp || !hasTerminal) return;
  process.removeAllListeners('SIGHUP');
  process.kill(process.pid, 'SIGHUP');
});

/** A reader such as `head` may close the pipe early, and a terminal may be closed: that is their right. */
const CLOSED: readonly (string | undefined)[] = ['EPIPE', 'EIO'];

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Results that are lost are told once, and make it a failure whatever else there is.
  if (CLOSED.includes(error.code) || process.exitCode === EXIT_FAILURE) return;
  process.exitCode = EXIT_FAILURE;
  const lost = new FlowstepError('FILE_UNWRITABLE', `stdout cannot be written: ${error.message}`, {
    hint: 'Make room where it is redirected to, or redirect it elsewhere.',
  });
  log.line(errorText(lost));
});
// Nobody is left to be told.
process.stderr.on('error', () => undefined);

const exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  log,
  isTerminal: process.stderr.isTTY === true,
  environment: process.env,
  signal: abort.signal,
});
process.exitCode ||= exitCode;
