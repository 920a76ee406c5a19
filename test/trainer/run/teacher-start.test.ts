/** A teacher that starts from a model's weights instead of random ones. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pointSet } from '../../../src/trainer/data/points.ts';
import { weightsHash } from '../../../src/trainer/run/model.ts';
import { identityOf, readRunFile } from '../../../src/trainer/run/run-file.ts';
import type { RunOptions } from '../../../src/trainer/run/run-folder.ts';
import { type TeacherJob, TeacherTrainer } from '../../../src/trainer/run/teacher-trainer.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';
import { bitsOf, runToEnd, trainTeacher } from '../../support/training.ts';

const start = tinyModel(TINY_MLP);

const job: TeacherJob = {
  dataset: pointSet('moons'),
  network: TINY_MLP,
  start,
  steps: 10,
  batch: 16,
  learningRate: 5e-3,
  warmup: 3,
  schedule: 'cosine',
  emaDecay: 0.9,
  clipNorm: 0,
  clipValue: 0,
  density: { kind: 'uniform', min: 0.02, max: 0.98 },
  seed: 3,
};

async function runFolder(): Promise<RunOptions> {
  const folder = join(await tempFolder(), 'runs/a');
  return { folder, resume: 'auto', checkpointEvery: 4, keepCheckpoints: 2, sampleEvery: 0 };
}

describe('the start', () => {
  test('gives weights and average, not moments, and is left as it is', async () => {
    const before = start.parameters.slice();
    const trainer = new TeacherTrainer(job);
    const state = (part: string) => trainer.state.get(`teacher/${part}`)!;
    expect(state('weights')).toEqual(before);
    expect(state('ema')).toEqual(before);
    for (const part of ['moment1', 'moment2']) expect(state(part).every((x) => x === 0)).toBe(true);
    trainer.dispose();
    const { result } = await runToEnd(trainTeacher(job));
    expect(result.teacher.parameters).not.toEqual(before);
    expect(start.parameters).toEqual(before);
  });

  test('makes another run, by the hash of its weights, which model and record name', async () => {
    const hash = weightsHash(start);
    const configuration = (of: TeacherJob) => {
      const trainer = new TeacherTrainer(of);
      trainer.dispose();
      return trainer.configuration;
    };
    const { start: _, ...random } = job;
    expect(configuration(job)).toEqual({ ...configuration(random), start: hash });
    const run = await runFolder();
    const { result } = await runToEnd(trainTeacher(job, { run }));
    expect(result.teacher.info).toMatchObject({
      dataset: { name: 'moons' },
      training: { start: hash, steps: 10 },
    });
    const record = await readRunFile(run.folder);
    expect(record.configuration).toMatchObject({ start: hash });
    expect(record.identity).toBe(identityOf(configuration(job)));
    const other = { ...start, parameters: start.parameters.map((x) => x + 1) };
    await expect(runToEnd(trainTeacher({ ...job, start: other }, { run }))).rejects.toMatchObject({
      code: 'RUN_MISMATCH',
    });
  });

  test('a run from it that was stopped goes on to the bits of one that was not', async () => {
    const abort = new AbortController();
    const run = await runFolder();
    const { signal } = abort;
    const stopped = await runToEnd(trainTeacher(job, { run, signal }), ({ step }) => {
      if (step === 6) abort.abort();
    });
    expect(stopped.result.outcome).toEqual({ kind: 'interrupted' });
    const resumed = (await runToEnd(trainTeacher(job, { run }))).result.teacher;
    const whole = (await runToEnd(trainTeacher(job))).result.teacher;
    expect(bitsOf(resumed.parameters)).toEqual(bitsOf(whole.parameters));
  });

  test('of other samples than the data is refused by its name', () => {
    const pictures = { ...job, network: TINY_DIT, start: tinyModel(TINY_DIT) };
    expect(() => new TeacherTrainer(pictures)).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: expect.stringContaining('the model to start from makes samples of [1, 4, 4]'),
        details: expect.objectContaining({ field: 'start' }),
      }),
    );
  });
});
