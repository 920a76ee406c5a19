/** Evaluations of a run on the way: the best model is kept, the numbers of training stay, and resuming changes nothing. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { pointSet } from '../../../src/trainer/data/points.ts';
import { measureModel } from '../../../src/trainer/metrics/measure-model.ts';
import type { Evaluation } from '../../../src/trainer/run/evaluation.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { loadModel } from '../../../src/trainer/run/model-file.ts';
import { readRunFile } from '../../../src/trainer/run/run-file.ts';
import type { RunOptions } from '../../../src/trainer/run/run-folder.ts';
import { readStats } from '../../../src/trainer/run/stats.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

const SCORE = 'eval/score';

/** Scores in the order of the steps at which they are taken; each model is kept as its first weight. */
function scored(values: Readonly<Record<number, number>>, changes: Partial<Evaluation> = {}) {
  const weights = new Map<number, number>();
  const evaluation: Evaluation = {
    every: 2,
    patience: 0,
    decidedBy: SCORE,
    measure: async ({ info, parameters }) => {
      const step = Number(info.training['steps']);
      weights.set(step, parameters[0]!);
      return { [SCORE]: values[step]! };
    },
    ...changes,
  };
  return { evaluation, weights };
}

async function options(more: Partial<RunOptions>): Promise<RunOptions> {
  return {
    folder: join(await tempFolder(), 'run'),
    resume: 'auto',
    checkpointEvery: 3,
    keepCheckpoints: 9,
    sampleEvery: 0,
    ...more,
  };
}

const runAll = (run: RunOptions, changes = {}) =>
  runToEnd(distill({ ...TINY_DISTILL, ...changes }, { run }));

async function runUntil(stop: number, run: RunOptions) {
  const abort = new AbortController();
  const { signal } = abort;
  return runToEnd(distill(TINY_DISTILL, { run, signal }), ({ step }) => {
    if (step === stop) abort.abort();
  });
}

const evaluations = async (folder: string) =>
  (await readStats(join(folder, 'stats.jsonl'))).flatMap(({ step, metrics }) =>
    metrics[SCORE] === undefined ? [] : [[step, metrics[SCORE]]],
  );

const VALUES = { 2: 5, 4: 3, 6: 4, 8: 3, 10: 6 };

test('the best model is kept and told, of equal ones the first; scores stand beside the losses', async () => {
  const { evaluation, weights } = scored(VALUES);
  const run = await options({ evaluation });
  const { events, steps } = await runAll(run);
  const best = events.filter((event) => event.kind === 'best');
  expect(best.map(({ step, value }) => [step, value])).toEqual([
    [2, 5],
    [4, 3],
  ]);
  const model = await loadModel(join(run.folder, 'best.safetensors'));
  expect(model.parameters[0]).toBe(weights.get(4));
  expect(weights.get(4)).not.toBe(weights.get(8));
  expect(await evaluations(run.folder)).toEqual(
    Object.entries(VALUES).map(([step, value]) => [Number(step), value]),
  );
  expect(steps[3]!.metrics).toMatchObject({ [SCORE]: 3, 'loss/student': expect.any(Number) });
});

test('the last step is measured too', async () => {
  const { evaluation } = scored({ 7: 2, 10: 1 }, { every: 7 });
  const run = await options({ evaluation });
  await runAll(run);
  expect(await evaluations(run.folder)).toEqual([
    [7, 2],
    [10, 1],
  ]);
});

test('measuring a model changes no number of its training', async () => {
  const real = pointSet('8g');
  const evaluation: Evaluation = {
    ...scored({}).evaluation,
    measure: async (model) => {
      const found = await measureModel(model, real, undefined, { count: 20, draws: 1, seed: 1 });
      return { [SCORE]: found.figures['energy-distance']!.value };
    },
  };
  const measured = await runAll(await options({ evaluation }));
  const plain = await runAll(await options({}));
  expect(bitsOf(measured.result.student!.parameters)).toEqual(
    bitsOf(plain.result.student!.parameters),
  );
  expect(measured.steps.map(({ metrics }) => metrics['loss/student'])).toEqual(
    plain.steps.map(({ metrics }) => metrics['loss/student']),
  );
});

describe('patience', () => {
  test('ends a run that becomes no better, in order', async () => {
    const { evaluation } = scored(VALUES, { patience: 2 });
    const run = await options({ evaluation });
    const { events, steps, result } = await runAll(run);
    expect(steps.at(-1)!.step).toBe(8);
    expect(result.outcome).toEqual({ kind: 'finished' });
    expect(events.at(-2)).toEqual({
      kind: 'notice',
      message:
        'stopped after step 8: 2 evaluations in a row were no better than eval/score 3 of step 4',
    });
    expect(await readRunFile(run.folder)).toMatchObject({ outcome: 'finished', steps: 10 });
    // It stays ended.
    const again = await runAll(run);
    expect(again.steps).toEqual([]);
  });

  test('is counted on when a run goes on', async () => {
    const { evaluation } = scored(VALUES, { patience: 2 });
    const run = await options({ evaluation });
    await runUntil(6, run);
    const { steps } = await runAll(run);
    expect(steps.map(({ step }) => step)).toEqual([7, 8]);
  });
});

describe('a run that was stopped', () => {
  test.each([3, 4, 5])('after step %i goes on as if it had not been', async (stop) => {
    const { evaluation, weights } = scored(VALUES);
    const run = await options({ evaluation });
    await runUntil(stop, run);
    await runAll(run);
    const whole = await options({ evaluation });
    await runAll(whole);
    expect(await evaluations(run.folder)).toEqual(await evaluations(whole.folder));
    const [a, b] = await Promise.all(
      [run, whole].map(({ folder }) => readFile(join(folder, 'best.safetensors'))),
    );
    expect(a!.equals(b!)).toBe(true);
    expect((await loadModel(join(run.folder, 'best.safetensors'))).parameters[0]).toBe(
      weights.get(4),
    );
  });

  test('in the middle of an evaluation makes up for it', async () => {
    const { evaluation } = scored(VALUES);
    let isStopped = false;
    const stopping: Evaluation = {
      ...evaluation,
      measure: async (model: FlowModel) => {
        if (model.info.training['steps'] !== 4 || isStopped) return evaluation.measure(model);
        isStopped = true;
        abort.abort();
        throw new FlowstepError('INTERRUPTED', 'interrupted');
      },
    };
    const abort = new AbortController();
    const run = await options({ evaluation: stopping });
    const first = await runToEnd(distill(TINY_DISTILL, { run, signal: abort.signal }));
    expect(first.result.outcome).toEqual({ kind: 'interrupted' });
    expect(await evaluations(run.folder)).toEqual([[2, 5]]);
    await runAll(run);
    expect(await evaluations(run.folder)).toEqual(
      Object.entries(VALUES).map(([step, value]) => [Number(step), value]),
    );
  });
});

test('samples that are not finite end the run as diverged; other failures are thrown', async () => {
  const failing = (error: Error) => ({
    ...scored({}).evaluation,
    measure: async () => Promise.reject(error),
  });
  const problem = new FlowstepError('DIVERGED', "the model's samples are not finite");
  const run = await options({ evaluation: failing(problem) });
  const { result } = await runAll(run);
  expect(result.outcome).toEqual({ kind: 'diverged', problem });
  expect(await readdir(run.folder)).not.toContain('best.safetensors');
  const disk = new FlowstepError('FILE_UNWRITABLE', 'full');
  await expect(runAll(await options({ evaluation: failing(disk) }))).rejects.toBe(disk);
});
