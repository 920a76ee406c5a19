import { chmod, copyFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { DistillJob } from '../../../src/trainer/run/distill-job.ts';
import { differences, readRunFile, writeRunFile } from '../../../src/trainer/run/run-file.ts';
import type { RunOptions } from '../../../src/trainer/run/run-folder.ts';
import { readStats } from '../../../src/trainer/run/stats.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

const job: DistillJob = { ...TINY_DISTILL, warmup: 3, schedule: 'cosine' };

async function options(more: Partial<RunOptions> = {}): Promise<RunOptions> {
  const folder = more.folder ?? join(await tempFolder(), 'runs', 'a');
  return {
    resume: 'auto',
    checkpointEvery: 4,
    keepCheckpoints: 2,
    sampleEvery: 0,
    ...more,
    folder,
  };
}

/** Runs until step `stop` is done. */
async function runUntil(stop: number, run: RunOptions, more: Partial<DistillJob> = {}) {
  const abort = new AbortController();
  return runToEnd(distill({ ...job, ...more }, { run, signal: abort.signal }), ({ step }) => {
    if (step === stop) abort.abort();
  });
}

const runAll = (run: RunOptions, more: Partial<DistillJob> = {}) =>
  runToEnd(distill({ ...job, ...more }, { run }));

const checkpointsIn = async (folder: string) =>
  (await readdir(folder)).filter((name) => name.startsWith('checkpoint-')).sort();

/** All that must not depend on where a run was interrupted. */
async function timeless(folder: string) {
  const stats = await readStats(join(folder, 'stats.jsonl'));
  return stats.map(({ step, metrics: { 'time/step_ms': _, ...metrics } }) => ({ step, metrics }));
}

describe('what a run leaves', () => {
  test('its record, a line for each step, the last checkpoints, and no lock', async () => {
    const run = await options();
    const { events } = await runAll(run);
    expect(await checkpointsIn(run.folder)).toEqual([
      'checkpoint-000000008.safetensors',
      'checkpoint-000000010.safetensors',
    ]);
    expect(events.flatMap((e) => (e.kind === 'checkpoint' ? [e.step] : []))).toEqual([4, 8, 10]);
    expect((await readdir(run.folder)).sort()).toEqual([
      ...(await checkpointsIn(run.folder)),
      'run.json',
      'stats.jsonl',
    ]);
    expect((await timeless(run.folder)).map(({ step }) => step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    expect(await readRunFile(run.folder)).toMatchObject({
      name: 'a',
      steps: 10,
      outcome: 'finished',
      configuration: { method: 'fgm', seed: 5, teacher: expect.stringMatching(/^[0-9a-f]{64}$/) },
      sessions: [{ fromStep: 0, steps: 10, device: 'cpu', threads: expect.any(Number) }],
    });
  });

  test('samples come from the same noise every time, and do not touch the numbers', async () => {
    const quiet = await runAll(await options());
    const shown = await runAll(await options({ sampleEvery: 5 }));
    const samples = shown.events.flatMap((e) => (e.kind === 'samples' ? [e] : []));
    expect(samples.map(({ step }) => step)).toEqual([5, 10]);
    expect(samples[0]!.samples.data).not.toEqual(samples[1]!.samples.data);
    const again = await runAll(await options({ sampleEvery: 5 }));
    const second = again.events.flatMap((e) => (e.kind === 'samples' ? [e] : []));
    expect(second[1]!.samples.data).toEqual(samples[1]!.samples.data);
    expect(bitsOf(shown.result.student.parameters)).toEqual(
      bitsOf(quiet.result.student.parameters),
    );
  });

  test('a checkpoint every ten minutes where steps are slow, with the same numbers', async () => {
    const quick = await options({ checkpointEvery: 8 });
    const slow = await options({ checkpointEvery: 8, keepCheckpoints: 10 });
    const { result: expected } = await runAll(quick);
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const minutes = (n: number) => () => vi.advanceTimersByTime(n * 60_000);
    const { events, result } = await runToEnd(distill(job, { run: slow }), minutes(4));
    expect(events.flatMap((e) => (e.kind === 'checkpoint' ? [e.step] : []))).toEqual([3, 6, 8, 10]);
    expect(bitsOf(result.student.parameters)).toEqual(bitsOf(expected.student.parameters));
    const none = await runToEnd(
      distill(job, { run: await options({ checkpointEvery: 0 }) }),
      minutes(4),
    );
    expect(none.events.filter(({ kind }) => kind === 'checkpoint')).toHaveLength(1);
  });

  test('of very long runs, not a line for each step', async () => {
    const run = await options();
    await runUntil(8, run, { steps: 30_000 });
    expect((await timeless(run.folder)).map(({ step }) => step)).toEqual([3, 6]);
  });
});

describe('going on', () => {
  test.each([1, 3, 4, 6, 9])(
    'stopped after step %i: bits and statistics of the uninterrupted run',
    async (stop) => {
      const whole = await options();
      const parts = await options();
      const { result: expected } = await runAll(whole);
      const first = await runUntil(stop, parts);
      expect(first.result.outcome).toEqual({ kind: 'interrupted' });
      const { result, steps, events } = await runAll(parts);
      expect(events[0]).toEqual({ kind: 'resumed', step: stop });
      expect(steps.map(({ step }) => step)).toEqual(
        Array.from({ length: 10 - stop }, (_, i) => stop + 1 + i),
      );
      for (const name of ['student', 'online'] as const) {
        expect(bitsOf(result[name].parameters)).toEqual(bitsOf(expected[name].parameters));
      }
      expect(await timeless(parts.folder)).toEqual(await timeless(whole.folder));
      const last = 'checkpoint-000000010.safetensors';
      expect(await readFile(join(parts.folder, last))).toEqual(
        await readFile(join(whole.folder, last)),
      );
    },
  );

  test('killed: statistics after the checkpoint are cut, leftovers removed, a stale lock taken', async () => {
    const [whole, parts] = [await options(), await options()];
    await runAll(whole);
    await runUntil(6, parts);
    const stats = join(parts.folder, 'stats.jsonl');
    await writeFile(
      stats,
      `${await readFile(stats, 'utf8')}{"step":7,"metrics":{}}\n{"step":8,"met`,
    );
    const leftover = '.checkpoint-000000008.safetensors.0123456789ab.tmp';
    await writeFile(join(parts.folder, leftover), 'half');
    // No process has this id: it is above the greatest that Linux gives.
    const dead = { pid: 2 ** 22 + 1, host: hostname(), started: '1', since: 'then' };
    await writeFile(join(parts.folder, 'lock'), JSON.stringify(dead));
    await runAll(parts);
    expect(await timeless(parts.folder)).toEqual(await timeless(whole.folder));
    expect(await readdir(parts.folder)).not.toContain(leftover);
    expect(await readdir(parts.folder)).not.toContain('lock');
  });

  test.each([
    ['run.json', true],
    ['best.safetensors', true],
    ['best.md', true],
    // Written once the run has no lock any more: another process may be at it.
    ['student.safetensors', false],
  ])('what a killed process has left of %s is removed: %s', async (file, isRemoved) => {
    const run = await options();
    await runUntil(6, run);
    const leftover = `.${file}.0123456789ab.tmp`;
    await writeFile(join(run.folder, leftover), 'half');
    await runAll(run);
    expect((await readdir(run.folder)).includes(leftover)).toBe(!isRemoved);
  });

  test('more steps extend a finished run; fewer are refused and leave it as it is', async () => {
    const constant = { schedule: 'constant' } as const;
    const [whole, parts] = [await options(), await options()];
    const { result: expected } = await runAll(whole, { ...constant, steps: 14 });
    await runAll(parts, constant);
    const { result } = await runAll(parts, { ...constant, steps: 14 });
    expect(bitsOf(result.student.parameters)).toEqual(bitsOf(expected.student.parameters));
    const before = await readRunFile(parts.folder);
    await expect(runAll(parts, { ...constant, steps: 3 })).rejects.toMatchObject({
      code: 'RUN_MISMATCH',
      message: expect.stringContaining('was trained for 14 steps, more than the 3 asked for'),
      hint: expect.stringMatching(/run name.*at least 14/),
    });
    expect(await readRunFile(parts.folder)).toEqual(before);
    expect(before.steps).toBe(14);
    expect((await timeless(parts.folder)).length).toBe(14);
    expect(await readdir(parts.folder)).not.toContain('lock');
  });

  test('a stretched run goes over to its new rate step by step, also when it is interrupted there', async () => {
    const [whole, parts] = [await options(), await options()];
    for (const run of [whole, parts]) await runAll(run);
    const { steps, result: expected } = await runAll(whole, { steps: 20 });
    const rates = steps.map(({ metrics }) => metrics['rate/student']! / job.learningRate);
    const over = (total: number, step: number) =>
      0.01 + (0.99 * (1 + Math.cos((Math.PI * step) / total))) / 2;
    const part = (share: number, step: number) => 0.01 + share * (over(20, step) - 0.01);
    expect(rates.slice(0, 4)).toEqual(
      [part(1 / 3, 10), part(2 / 3, 11), over(20, 12), over(20, 13)].map((rate) =>
        expect.closeTo(rate, 6),
      ),
    );
    await runUntil(11, parts, { steps: 20 });
    const { result } = await runAll(parts, { steps: 20 });
    expect(bitsOf(result.student.parameters)).toEqual(bitsOf(expected.student.parameters));
    expect(await timeless(parts.folder)).toEqual(await timeless(whole.folder));
  });

  test('a damaged checkpoint is told of, and the one before it is used', async () => {
    const run = await options();
    const { result: expected } = await runAll(run);
    await truncate(join(run.folder, 'checkpoint-000000010.safetensors'), 1000);
    const { result, events } = await runAll(run);
    expect(events[0]).toEqual({
      kind: 'notice',
      message: expect.stringContaining('checkpoint-000000010.safetensors'),
    });
    expect(events[1]).toEqual({ kind: 'resumed', step: 8 });
    expect(bitsOf(result.student.parameters)).toEqual(bitsOf(expected.student.parameters));
  });

  test('another thread count is told', async () => {
    const run = await options();
    await runUntil(2, run);
    const record = await readRunFile(run.folder);
    const sessions = record.sessions.map((s) => ({ ...s, threads: s.threads + 3 }));
    await writeRunFile(run.folder, { ...record, sessions });
    const { events } = await runAll(run);
    expect(events[0]).toEqual({
      kind: 'notice',
      message: expect.stringMatching(/number of threads was \d+ before and is \d+ now/),
    });
    expect((await readRunFile(run.folder)).sessions).toHaveLength(2);
  });
});

describe('what is refused, and changes nothing', () => {
  test('another configuration under the same name: what differs is named', async () => {
    const run = await options();
    await runAll(run);
    await expect(runAll(run, { learningRate: 2e-3, lambda1: 0 })).rejects.toMatchObject({
      code: 'RUN_MISMATCH',
      message: expect.stringMatching(/lambda1: 1, here 0; .*learningRate: 0.001, here 0.002/),
    });
    expect((await readRunFile(run.folder)).outcome).toBe('finished');
  });

  test('data and models that are others are named in words, what is within an option by its name', () => {
    const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
    const then = {
      dataset: { name: 'cats', hash: a },
      prompts: { name: 'words', hash: a },
      teacher: a,
      online: { init: 'teacher', updates: 1, density: { kind: 'uniform', min: 0, max: 1 } },
      realData: { dataset: { name: 'cats', hash: a }, realAlpha: 0.9 },
      seed: 5,
    };
    const now = {
      dataset: { name: 'cats', hash: b },
      prompts: { name: 'other words', hash: b },
      teacher: b,
      online: { init: 'teacher', updates: 1, density: { kind: 'uniform', min: 0.5, max: 1 } },
      realData: { dataset: { name: 'cats', hash: b }, realAlpha: 0.9 },
      seed: 5,
      beta1: 0.5,
    };
    const changed = 'cats is not what it was (its files, or how they are read)';
    expect(differences(then, now)).toEqual([
      `dataset: ${changed}`,
      'prompts: words, here other words',
      'teacher: another model, or it was changed',
      'online.density.min: 0, here 0.5',
      `realData.dataset: ${changed}`,
      'beta1: not set, here 0.5',
    ]);
  });

  test('resume must without a run: no folder is made', async () => {
    const run = await options({ resume: 'must' });
    await expect(runAll(run)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(readdir(run.folder)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('resume never with a run', async () => {
    const run = await options();
    await runAll(run);
    await expect(runAll({ ...run, resume: 'never' })).rejects.toMatchObject({ code: 'RUN_EXISTS' });
  });

  test('a run in use, by this process or by another machine', async () => {
    const run = await options();
    const first = distill(job, { run });
    await first.next();
    await expect(runAll(run)).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining(String(process.pid)),
    });
    await first.return(undefined as never);
    const elsewhere = { pid: 1, host: 'elsewhere', started: '', since: 'then' };
    await writeFile(join(run.folder, 'lock'), JSON.stringify(elsewhere));
    await expect(runAll(run)).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining('elsewhere'),
    });
  });

  test('a checkpoint of another run or network', async () => {
    const [run, other] = [await options(), await options()];
    await runUntil(4, run);
    await runUntil(6, other, { seed: 6 });
    const name = 'checkpoint-000000006.safetensors';
    await copyFile(join(other.folder, name), join(run.folder, name));
    await expect(runAll(run)).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringContaining(name),
    });
  });

  test.runIf(process.getuid?.() !== 0)('a folder that may not be written', async () => {
    const folder = await tempFolder();
    await chmod(folder, 0o500);
    await expect(runAll(await options({ folder: join(folder, 'a') }))).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining(folder),
    });
  });

  test('a run folder that cannot be made', async () => {
    const base = await tempFolder();
    await writeFile(join(base, 'file'), '');
    await expect(runAll(await options({ folder: join(base, 'file', 'a') }))).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining(base),
    });
  });
});

describe('a checkpoint that cannot be written', () => {
  test('ends the run, names the file, leaves no part of it, and the one before loads', async () => {
    const run = await options();
    const training = distill(job, { run });
    for (;;) {
      const { value } = await training.next();
      if ('kind' in value && value.kind === 'checkpoint') break;
    }
    // A folder in the place of the next checkpoint: the rename fails as on a full or broken disk.
    const next = 'checkpoint-000000008.safetensors';
    await mkdir(join(run.folder, next, 'x'), { recursive: true });
    await expect(runToEnd(training)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining(next),
    });
    expect((await readdir(run.folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(await readdir(run.folder)).not.toContain('lock');
  });
});

describe('divergence', () => {
  test('a loss that runs away stops the run, and the checkpoints are from before', async () => {
    const run = await options({ checkpointEvery: 50 });
    const wild = { steps: 3000, learningRate: 3, warmup: 0, schedule: 'constant' } as const;
    const { result } = await runAll(run, wild);
    expect(result.outcome).toMatchObject({
      kind: 'diverged',
      problem: { code: expect.stringMatching(/DIVERGED|NON_FINITE_LOSS/) },
    });
    expect((await readRunFile(run.folder)).outcome).toBe('diverged');
  });
});
