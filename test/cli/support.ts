/** @file Runs the command line: in a process of its own, or within the test where that is enough. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runCli } from '../../src/cli.ts';
import { createLog } from '../../src/log.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnOptions {
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Sends SIGINT once stderr holds this text. */
  readonly interruptAt?: string;
}

/** `flowstep ARGS` as a process. */
export function spawnCli(args: readonly string[], options: SpawnOptions): Promise<CliResult> {
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  let isInterrupted = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (isInterrupted || !options.interruptAt || !stderr.includes(options.interruptAt)) return;
    isInterrupted = true;
    child.kill('SIGINT');
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** The same within this process: quick, but without signals and exit. */
export async function callCli(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(args, {
    stdout: { write: (text) => (stdout += text) },
    log: createLog({ write: (text) => (stderr += text) }),
    isTerminal: false,
    environment,
    signal: new AbortController().signal,
  });
  return { code, stdout, stderr };
}
