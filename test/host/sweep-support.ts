/** @file Sweeps of a few seconds, and a Redis for one test. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { readRoots } from '../../src/config.ts';
import { runInProcess } from '../../src/host/sweep/in-process.ts';
import { type Runner, runSweep, type SweepEvent } from '../../src/host/sweep/sweep.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { tempFolder } from '../support/temp-folder.ts';

// Bits are those of one number of threads, and these networks gain nothing by more.
engine({ threads: 1 });

/** Data, a teacher and a student of next to no steps. */
export function tinyWorkflow() {
  const small = { batch: 16, warmup: 0, sample_every: 0, keep_checkpoints: 1 };
  return {
    data: { class_type: 'FlowstepDataset', inputs: { source: 'moons' } },
    teacher: {
      class_type: 'FlowstepTrainTeacher',
      inputs: { dataset: ['data', 0], steps: 20, ...small },
    },
    online: { class_type: 'FlowstepOnlineFlow', inputs: { teacher: ['teacher', 0] } },
    student: {
      class_type: 'FlowstepDistill',
      inputs: { teacher: ['teacher', 0], online: ['online', 0], steps: 5, t_star: 0.97, ...small },
    },
  };
}

/** A sweep of four rows: two configurations, two seeds. */
export function tinySweep(changes: object = {}) {
  return {
    name: 'tiny',
    workflow: tinyWorkflow(),
    grid: { 'student.t_star': [0.9, 0.97] },
    seeds: { inputs: ['student.seed'], values: [0, 1] },
    measure: [{ model: 'student', draws: 2, samples: 100 }],
    ...changes,
  };
}

export async function sweepFile(content: object | string): Promise<string> {
  const file = join(await tempFolder(), 'sweep.json');
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

export interface SweepRun {
  readonly output: string;
  readonly runner?: Runner;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SweepEvent) => void;
}

/** Runs the sweep with packaged data only; gives the tables and what was told. */
export async function sweep(content: object, run: SweepRun) {
  const events: SweepEvent[] = [];
  const tables = await runSweep(await sweepFile(content), {
    registry: allNodes(),
    roots: readRoots({}, { output: run.output }),
    signal: run.signal ?? new AbortController().signal,
    runner: run.runner ?? runInProcess,
    onEvent: (event) => {
      events.push(event);
      run.onEvent?.(event);
    },
  });
  return { ...tables, events };
}

/** Outcome and figures of all rows, as they were measured to the last bit. */
export async function measured(output: string, name = 'tiny'): Promise<unknown[]> {
  const text = await readFile(join(output, 'sweeps', name, 'table.json'), 'utf8');
  const { rows } = JSON.parse(text) as { rows: Record<string, unknown>[] };
  return rows.map(({ settings, seed, outcome, figures }) => ({ settings, seed, outcome, figures }));
}

/** Whether Debian's redis-server is there. A gate must not skip what it is for. */
export const hasRedis = (() => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A Redis of its own, ended with the test. */
export async function startRedis(): Promise<{ url: string; process: ChildProcess }> {
  const port = await freePort();
  const dir = await tempFolder();
  const args = ['--port', String(port), '--dir', dir, '--save', '', '--bind', '127.0.0.1'];
  const process = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    process.kill('SIGKILL');
  });
  for await (const line of process.stdout) {
    if (String(line).includes('Ready to accept connections')) break;
  }
  return { url: `redis://127.0.0.1:${port}`, process };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}
