/** @file Trains in processes that are killed, and compares what they leave with an uninterrupted run. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listCheckpoints } from '../../src/trainer/run/checkpoint.ts';
import { readRunFile } from '../../src/trainer/run/run-file.ts';
import { readStats } from '../../src/trainer/run/stats.ts';
import type { ResumeJob } from './job.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));

interface Kill {
  /** Once this step has been told... */
  readonly step: number;
  /** ...and this long after, which falls anywhere in the steps that follow, or in a checkpoint. */
  readonly afterMs: number;
}

/** Trains until the end, or until it is killed; tells which, and the last step that was told. */
export async function trainInProcess(job: ResumeJob, folder: string, kill?: Kill) {
  const args = ['--import', 'tsx', WORKER, job, folder];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  let last = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    if (last === kill?.step) void sleep(kill.afterMs).then(() => child.kill('SIGKILL'));
  }
  const { code, signal } = await ended;
  if (signal !== 'SIGKILL' && code !== 0) throw new Error(`the worker ended with ${code}`);
  return { wasKilled: signal === 'SIGKILL', last };
}

/** What of two finished runs differs: vectors to the bit, statistics but for times. Empty when nothing does. */
export async function runDifferences(a: string, b: string): Promise<string[]> {
  const [first, second] = await Promise.all([a, b].map(leftBy));
  const found: string[] = [];
  if (!first!.checkpoint.equals(second!.checkpoint)) found.push('the last checkpoint');
  if (first!.stats !== second!.stats) found.push('the statistics');
  if (first!.identity !== second!.identity) found.push('the identity');
  return found;
}

async function leftBy(folder: string) {
  const last = (await listCheckpoints(folder)).at(-1);
  if (!last) throw new Error(`${folder} has no checkpoint`);
  const stats = await readStats(join(folder, 'stats.jsonl'));
  const timeless = stats.map(({ step, metrics }) => [
    step,
    Object.entries(metrics).filter(([name]) => !name.startsWith('time/')),
  ]);
  return {
    checkpoint: await readFile(last.file),
    stats: JSON.stringify(timeless),
    identity: (await readRunFile(folder)).identity,
  };
}
