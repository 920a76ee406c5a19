/** Sweeps by way of a queue: workers that die, hand back, are of another version; a Redis that goes away. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { readRoots } from '../../src/config.ts';
import { labelOf, planSweep } from '../../src/host/sweep/plan.ts';
import { queueRunner } from '../../src/host/sweep/queue.ts';
import { parseSweep } from '../../src/host/sweep/sweep-file.ts';
import { runWorker } from '../../src/host/sweep/worker.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { listCheckpoints } from '../../src/trainer/run/checkpoint.ts';
import { readRunFile } from '../../src/trainer/run/run-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { hasRedis, measured, startRedis, sweep, tinySweep } from './sweep-support.ts';

const WORKER = fileURLToPath(new URL('./sweep-worker.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

test.runIf(process.env['CI'])('the gate has a redis-server', () => {
  expect(hasRedis).toBe(true);
});

/** Takes over within seconds, and gives up soon. */
const timing = { lockMs: 2000, stalledCheckMs: 500, giveUpMs: 1000 };

function startWorker(url: string, output: string, onLine: (line: string) => void): ChildProcess {
  const args = ['--import', tsx, WORKER, 'tiny', url, output];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  createInterface({ input: child.stdout! }).on('line', onLine);
  return child;
}

/** A worker within this process. */
function workHere(redisUrl: string, output: string, signal: AbortSignal) {
  const roots = readRoots({}, { output });
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  const ended = runWorker({
    ...{ sweep: 'tiny', redisUrl, timing, roots, signal, onNotice },
    registry: allNodes(),
  });
  return { ended, notices };
}

/** Resolves soon after there is one. */
async function firstCheckpoint(folder: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const found = await listCheckpoints(folder).catch(() => []);
      expect(found).not.toEqual([]);
    },
    { interval: 2, timeout: 30_000 },
  );
}

describe.runIf(hasRedis)('a sweep on a queue', () => {
  test('twelve runs, two workers, one killed in mid-run: the bits of the runs in one process', async () => {
    const wanted = tinySweep({
      set: { 'student.steps': 200, 'student.checkpoint_every': 10 },
      grid: { 'student.t_star': [0.9, 0.95, 0.97] },
      seeds: { inputs: ['student.seed'], values: [0, 1, 2, 3] },
    });
    const [alone, queued] = [await tempFolder(), await tempFolder()];
    await sweep(wanted, { output: alone });

    const registry = allNodes();
    const plan = await planSweep(parseSweep(wanted, 'test'), {
      registry,
      roots: readRoots({}, { output: queued }),
      signal: new AbortController().signal,
      file: 'test.json',
    });
    const runOf = new Map(plan.rows.map((row) => [labelOf(row), row.job.ownRuns[0]!]));
    const { url } = await startRedis();
    let killed: string | undefined;
    const victim = startWorker(url, queued, (line) => {
      const run = runOf.get(line);
      if (run === undefined || killed !== undefined) return;
      killed = run;
      void firstCheckpoint(join(queued, 'runs', run)).then(() => victim.kill('SIGKILL'));
    });
    startWorker(url, queued, () => undefined);
    const { events } = await sweep(wanted, { output: queued, runner: queueRunner(url, timing) });

    expect(await measured(queued)).toEqual(await measured(alone));
    expect(events.filter(({ kind }) => kind === 'row')).toHaveLength(12);
    expect(victim.signalCode).toBe('SIGKILL');
    // The other worker went on from the checkpoint, not from the start.
    const { sessions } = await readRunFile(join(queued, 'runs', killed!));
    expect(sessions).toHaveLength(2);
    expect(sessions[1]!.fromStep).toBeGreaterThan(0);
    // What all rows begin with was trained once.
    const [teacher] = plan.shared;
    const shared = await readRunFile(join(queued, 'runs', teacher!.name));
    expect(shared.sessions).toHaveLength(1);
    // Processes that start and a lock that runs out: seconds each, many on a machine that is busy.
  }, 180_000);

  test('a worker that is stopped hands its job back', async () => {
    const wanted = tinySweep({ set: { 'student.steps': 120, 'student.checkpoint_every': 10 } });
    const [alone, output] = [await tempFolder(), await tempFolder()];
    await sweep(wanted, { output: alone });
    const { url } = await startRedis();
    const [first, second] = [new AbortController(), new AbortController()];
    const stopped = workHere(url, output, first.signal);
    let next: { readonly ended: Promise<void> } | undefined;
    await sweep(wanted, {
      output,
      runner: queueRunner(url, timing),
      onEvent: (event) => {
        const isRow = event.kind === 'progress' && event.label.startsWith('student');
        if (!isRow || next) return;
        first.abort();
        next = {
          ended: stopped.ended.then(() => workHere(url, output, second.signal).ended),
        };
      },
    });
    second.abort();
    await next?.ended;
    expect(await measured(output)).toEqual(await measured(alone));
  });

  test('a Redis that goes away in mid-sweep: a clear error, and the finished rows stay', async () => {
    const output = await tempFolder();
    const { url, process: redis } = await startRedis();
    const worker = workHere(url, output, new AbortController().signal);
    const failed = expect(worker.ended).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await expect(
      sweep(tinySweep(), {
        output,
        runner: queueRunner(url, timing),
        onEvent: ({ kind }) => kind === 'row' && redis.kill('SIGKILL'),
      }),
    ).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      message: expect.stringMatching(/^there is no Redis at 127\.0\.0\.1:\d+ \(.*ECONNREFUSED/),
      hint: expect.stringMatching(/ of 4 rows are finished and kept in .*the same command goes on/),
    });
    await failed;
    const kept = await readdir(join(output, 'sweeps', 'tiny', 'rows'));
    expect(kept.length).toBeGreaterThan(0);
    const { events } = await sweep(tinySweep(), { output });
    expect(events[0]).toEqual({ kind: 'planned', rows: 4, finished: kept.length });
  });

  test('a job of another version is refused, and that is told', async () => {
    const { url } = await startRedis();
    const connection = new Redis(url, { maxRetriesPerRequest: null });
    const queue = new Queue('flowstep-sweep-tiny', { connection });
    const stop = new AbortController();
    const worker = workHere(url, await tempFolder(), stop.signal);
    const job = await queue.add('job', { version: '0.0.1', job: {} });
    await vi.waitFor(async () => expect(await job.isFailed()).toBe(true), { timeout: 10_000 });
    stop.abort();
    await worker.ended;
    const refusal = expect.stringMatching(/the job is of flowstep 0\.0\.1, the worker is /);
    expect(worker.notices).toContainEqual(refusal);
    await queue.close();
    connection.disconnect();
  });
});

test.each([['localhost:6379'], ['http://localhost']])('REDIS_URL %s is refused', async (url) => {
  await expect(
    sweep(tinySweep(), { output: await tempFolder(), runner: queueRunner(url) }),
  ).rejects.toMatchObject({ code: 'USAGE', hint: expect.stringContaining('redis://') });
});

test('a password in the address is not told', async () => {
  const runner = queueRunner('redis://user:secret@127.0.0.1:1', { ...timing, giveUpMs: 300 });
  const run = sweep(tinySweep(), { output: await tempFolder(), runner });
  const error = await run.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE' });
  expect(String((error as Error).message)).not.toContain('secret');
});
