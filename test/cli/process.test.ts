/** What the flowstep process does about its terminal and its pipes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const STUDENT = fileURLToPath(new URL('../../models/fashion/student.safetensors', import.meta.url));
/** util-linux: runs a command in a terminal of its own. */
const SCRIPT = '/usr/bin/script';

interface Started {
  readonly child: ChildProcess;
  /** Exit code, or the signal that killed it. */
  readonly exit: Promise<number | string | null>;
  /** What came on stderr so far. */
  stderr(): string;
  /** Fulfilled once stderr holds the text. */
  says(text: string): Promise<void>;
}

/** `flowstep ARGS` as a process that is killed when the test has finished; `stdout` is a file's number. */
function start(args: readonly string[], cwd: string, stdout: number | 'pipe' = 'pipe'): Started {
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    cwd,
    stdio: ['ignore', stdout, 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exit = new Promise<number | string | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => stderr.includes(text) && resolve();
      child.stderr!.on('data', look);
      void exit.then((code) => reject(new Error(`exit ${code} without ${text}: ${stderr}`)));
      look();
    });
  return { child, exit, stderr: () => stderr, says };
}

test.runIf(existsSync('/dev/full'))(
  'results that do not fit on the disk are an error with exit code 1, not a stack',
  async () => {
    const full = openSync('/dev/full', 'w');
    const { exit, stderr, says } = start(['inspect', STUDENT], await tempFolder(), full);
    await says('hint:');
    expect(await exit).toBe(1);
    expect(stderr()).toContain('error FILE_UNWRITABLE: stdout cannot be written: ENOSPC');
    expect(stderr()).not.toContain('    at ');
  },
);

/** Of a training that would take hours, in `runs/long`. */
const LONG = [
  ...['train', '--dataset', '8g', '--run-name', 'long', '--checkpoint-every', '0'],
  ...['--steps', '10000000', '--batch', '4', '--warmup', '0', '--sample-every', '0'],
];

/** Such a training, once its first step is told. */
async function training(): Promise<Started & { readonly run: string }> {
  const cwd = await tempFolder();
  const started = start(LONG, cwd);
  await started.says('steps/s');
  return { ...started, run: join(cwd, 'output/runs/long') };
}

async function leftOf(run: string): Promise<{ outcome: string; checkpoints: number }> {
  const { outcome } = JSON.parse(await readFile(join(run, 'run.json'), 'utf8'));
  const checkpoints = (await readdir(run)).filter((name) => name.startsWith('checkpoint-'));
  return { outcome, checkpoints: checkpoints.length };
}

test('a terminal that closes ends a training in order: its pipes are gone, and SIGHUP comes twice', async () => {
  const { child, exit, run } = await training();
  child.stdout!.destroy();
  child.stderr!.destroy();
  child.kill('SIGHUP');
  child.kill('SIGHUP');
  child.kill('SIGTERM');
  expect(await exit).toBe(130);
  expect(await leftOf(run)).toEqual({ outcome: 'interrupted', checkpoints: 1 });
});

test.runIf(existsSync(SCRIPT))(
  'in a real terminal that closes, it ends by the signal once all is written, and not by a crash',
  async () => {
    const cwd = await tempFolder();
    const ended = join(cwd, 'ended');
    const flowstep = [process.execPath, '--import', tsx, main, ...LONG].map((arg) => `'${arg}'`);
    // The shell passes the signal on as shells do, and outlives its terminal to tell how the process ended.
    const wait = 'trap "kill -HUP $!" HUP; wait $!; wait $!';
    const command = `${flowstep.join(' ')} & echo $! > process; ${wait}; echo $? > '${ended}'`;
    const args = ['--quiet', '--command', command, '/dev/null'];
    const terminal = spawn(SCRIPT, args, { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(async () => {
      terminal.kill('SIGKILL');
      const id = Number(await readFile(join(cwd, 'process'), 'utf8'));
      spawn('kill', ['-KILL', String(id)], { stdio: 'ignore' });
    });
    await new Promise<void>((resolve) => {
      terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('steps/s')) resolve();
      });
    });
    terminal.kill('SIGKILL');
    await vi.waitFor(async () => expect(await readFile(ended, 'utf8')).toBe('129\n'), 20_000);
    expect(await leftOf(join(cwd, 'output/runs/long'))).toEqual({
      outcome: 'interrupted',
      checkpoints: 1,
    });
  },
);

test('the first Ctrl-C is answered at once, with what a second one would lose', async () => {
  const { child, exit, run, stderr, says } = await training();
  child.kill('SIGINT');
  await says('Stopping; Ctrl-C again ends it now.\nWhat trains ends its step first');
  expect(await exit).toBe(130);
  expect(stderr()).toMatch(/loses what came after the last one\.\n[\s\S]*training interrupted/);
  expect(await leftOf(run)).toEqual({ outcome: 'interrupted', checkpoints: 1 });
});
