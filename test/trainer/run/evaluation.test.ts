/** Evaluations of a run on the way: the best model is kept, the numbers of training stay, and resuming changes nothing. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { pointSet } from '../../../src/trainer/data/points.ts';
import { measureModel } from '../../../src/trainer/metrics/measure-model.ts';
import type { Evaluation } from '../../../src/trainer/run/evaluation.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { loadModel, saveModel } from '../../../src/trainer/run/model-file.ts';
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

describe('a run that was killed after its best model, and the checkpoint before it', () => {
  const VALUES_BEFORE = { 2: 5, 4: 3, 6: 2 };
  const bestFile = ({ folder }: RunOptions) => join(folder, 'best.safetensors');

  /** Ends after step 7 without a checkpoint of it; the last one is of step 5. */
  async function killed(before: Readonly<Record<number, number>>) {
    const { evaluation, weights } = scored(before);
    const run = await options({ evaluation, checkpointEvery: 5 });
    const events = distill(TINY_DISTILL, { run });
    for (;;) {
      const { value } = await events.next();
      if ('kind' in value && value.kind === 'step' && value.step === 7) break;
    }
    await events.return({} as never);
    expect(await stepOf(run)).toBe(6);
    return { run, weights };
  }

  async function stepOf(run: RunOptions) {
    return (await loadModel(bestFile(run))).info.training['steps'];
  }

  /** Goes on with other values, as on another device; gives the best models that were told, and the last notice. */
  async function goneOn(run: RunOptions, values: Readonly<Record<number, number>>, changes = {}) {
    const { events } = await runAll({ ...run, ...scored(values, changes) });
    return {
      best: events.flatMap((event) => (event.kind === 'best' ? [[event.step, event.value]] : [])),
      notice: events.findLast((event) => event.kind === 'notice')?.message,
    };
  }

  test('keeps the model until there is a better one, and the file says why', async () => {
    const { run, weights } = await killed(VALUES_BEFORE);
    expect((await goneOn(run, { 6: 4, 8: 2.5, 10: 2 })).best).toEqual([]);
    const { info, parameters } = await loadModel(bestFile(run));
    const { identity } = await readRunFile(run.folder);
    expect(info.training).toMatchObject({
      steps: 6,
      evaluation: { run: identity, metric: SCORE, value: 2 },
    });
    expect(parameters[0]).toBe(weights.get(6));
  });

  test('takes a better one', async () => {
    const { run } = await killed(VALUES_BEFORE);
    expect((await goneOn(run, { 6: 4, 8: 2.5, 10: 1 })).best).toEqual([[10, 1]]);
    expect(await stepOf(run)).toBe(10);
  });

  test('writes and tells the same one again where the bits are the same', async () => {
    const { run } = await killed({ ...VALUES, ...VALUES_BEFORE });
    const before = await readFile(bestFile(run));
    await rm(join(run.folder, 'best.md'));
    expect((await goneOn(run, { 6: 2, 8: 4, 10: 4 })).best).toEqual([[6, 2]]);
    expect((await readFile(bestFile(run))).equals(before)).toBe(true);
    expect(await readdir(run.folder)).toContain('best.md');
  });

  test('has the patience that its statistics give', async () => {
    const { run } = await killed(VALUES_BEFORE);
    expect((await goneOn(run, { 6: 2.9, 8: 2.8, 10: 4 }, { patience: 1 })).notice).toBeUndefined();
    const { run: other } = await killed(VALUES_BEFORE);
    expect((await goneOn(other, { 6: 3.5 }, { patience: 1 })).notice).toBe(
      'stopped after step 6: 1 evaluations in a row were no better than eval/score 3 of step 4',
    );
  });

  type Facts = Readonly<Record<string, unknown>>;
  /** Writes the best model anew, with other facts. */
  async function rewritten(run: RunOptions, facts: (training: Facts) => Facts) {
    const model = await loadModel(bestFile(run));
    const training = JSON.parse(JSON.stringify(facts(model.info.training)));
    await saveModel(bestFile(run), { ...model, info: { ...model.info, training } });
  }
  const judged = (more: object) => (training: Facts) => ({
    ...training,
    evaluation: { ...(training['evaluation'] as object), ...more },
  });

  test.each<[what: string, spoil: (run: RunOptions) => Promise<unknown>]>([
    ['is gone', (run) => rm(bestFile(run))],
    ['is damaged', (run) => writeFile(bestFile(run), 'half')],
    ['is of another run', (run) => rewritten(run, judged({ run: 'another' }))],
    ['was judged by another metric', (run) => rewritten(run, judged({ metric: 'eval/other' }))],
    [
      'is an older one that says its step alone, which is not known',
      (run) => rewritten(run, ({ evaluation: _, ...facts }) => facts),
    ],
  ])('keeps the next model where the file %s', async (_, spoil) => {
    const { run } = await killed(VALUES_BEFORE);
    await spoil(run);
    expect((await goneOn(run, { 6: 4, 8: 3.5, 10: 6 })).best).toEqual([
      [6, 4],
      [8, 3.5],
    ]);
    expect(await stepOf(run)).toBe(8);
  });

  test('knows an older file that says its step alone by the statistics', async () => {
    const { run } = await killed(VALUES_BEFORE);
    await rewritten(run, ({ evaluation: _, ...facts }) => ({ ...facts, steps: 4 }));
    expect((await goneOn(run, { 6: 3, 8: 2.9, 10: 6 })).best).toEqual([[8, 2.9]]);
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
