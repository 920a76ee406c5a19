/** @file Evaluate Flow, and evaluations of the nodes that train. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { measureReport } from '../../src/host/sweep/measure-report.ts';
import { pointSet } from '../../src/trainer/data/points.ts';
import { measureModel } from '../../src/trainer/metrics/measure-model.ts';
import { loadModel, saveModel } from '../../src/trainer/run/model-file.ts';
import { readStats } from '../../src/trainer/run/stats.ts';
import { pixelExtractor } from '../support/pixel-extractor.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';
import { onlineFlow, run, tiny, trainTeacher } from './training-support.ts';

const STUDENT = { tStar: 0.97, cIn: 0.97 };

/** A context with notices, and handles of tiny models in its models folder. */
async function site(network: typeof TINY_MLP | typeof TINY_DIT = TINY_MLP) {
  const roots = await makeRoots();
  const notices: string[] = [];
  const context = { ...makeContext(roots), onNotice: (text: string) => void notices.push(text) };
  const load = async (name: string, student?: typeof STUDENT) => {
    await saveModel(join(roots.models, `${name}.safetensors`), tinyModel(network, student));
    const file = { file: `${name}.safetensors` };
    return (await run('FlowstepLoadModel', file, context)).outputs['model'];
  };
  const teacher = await load('teacher');
  return { roots, context, notices, teacher, student: await load('student', STUDENT) };
}

async function pointsOf(context: ReturnType<typeof makeContext>) {
  return (await run('FlowstepDataset', { source: 'moons' }, context)).outputs['dataset'];
}

/** Forty pictures of 4 x 4 in an idx file. */
async function picturesOf({ roots, context }: Awaited<ReturnType<typeof site>>) {
  const header = [0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 4];
  const pixels = Array.from({ length: 40 * 16 }, (_, i) => (i * 7919) % 251);
  await writeFile(join(roots.data, 'pictures.idx'), Uint8Array.from([...header, ...pixels]));
  const source = { source: 'idx', images: 'pictures.idx' };
  return (await run('FlowstepDataset', source, context)).outputs['dataset'];
}

const SMALL = { count: 60, draws: 2, steps: '1,3' };

describe('Evaluate Flow', () => {
  test('gives a table of student and teacher, and a plot', async () => {
    const { context, notices, teacher, student } = await site();
    const dataset = await pointsOf(context);
    const inputs = { model: student, teacher, dataset, ...SMALL };
    const { outputs } = await run('FlowstepEvaluate', inputs, context);
    const report = JSON.parse(String(outputs['report']));
    expect(report).toMatchObject({ dataset: 'moons', count: 60, draws: 2, seed: 1, notices: [] });
    const rows = Object.entries(report.rows as Record<string, { nfe: number }>);
    expect(rows.map(([name, { nfe }]) => [name, nfe])).toEqual([
      ['student', 1],
      ['teacher euler 1', 1],
      ['teacher euler 3', 3],
      ['teacher heun 1', 1],
      ['teacher heun 3', 5],
    ]);
    const found = await measureModel(tinyModel(TINY_MLP, STUDENT), pointSet('moons'), undefined, {
      count: 60,
      draws: 2,
      seed: 1,
    });
    expect(report.rows.student.scores).toEqual(found.figures);
    expect(report.rows.student.secondsPerSample).toBeGreaterThan(0);
    // The plot, and a line for each row below two of heads.
    expect(outputs['image']).toMatchObject({ shape: [1, 540 + 7 * 22, 960, 3] });
    expect(notices).toEqual([expect.stringMatching(/^60 samples against moons\n.*\nstudent {2}/s)]);
    expect(context.events.map(({ step, steps }) => `${step}/${steps}`)).toEqual(
      [1, 2, 3, 4, 5].map((n) => `${n}/5`),
    );
    // Sweeps read it by paths.
    const path = 'rows.teacher heun 3.scores.energy-distance.value';
    const { value } = measureReport(outputs['report'], { report: 'n', metrics: [path] })[path]!;
    expect(value).toBe(report.rows['teacher heun 3'].scores['energy-distance'].value);
  });

  test('measures pictures in the space that scores are named by', async () => {
    const here = await site(TINY_DIT);
    await mkdir(join(here.roots.models, 'eyes'));
    await pixelExtractor(join(here.roots.models, 'eyes'));
    const dataset = await picturesOf(here);
    const inputs = {
      ...{ model: here.student, dataset, features: 'eyes/pixels.onnx', count: 30 },
      metrics: 'fid, recall',
    };
    const { outputs } = await run('FlowstepEvaluate', inputs, here.context);
    const report = JSON.parse(String(outputs['report']));
    expect(report.extractor).toBe('pixels');
    expect(Object.keys(report.rows.student.scores)).toEqual(['FID (pixels)', 'recall (pixels)']);
    expect(here.notices[0]).toContain('30 samples against pictures.idx in the space of pixels');
  });

  test('measures fine detail alone without an extractor, and says so', async () => {
    const here = await site(TINY_DIT);
    const inputs = { model: here.student, dataset: await picturesOf(here), ...SMALL };
    const { outputs } = await run('FlowstepEvaluate', inputs, here.context);
    const report = JSON.parse(String(outputs['report']));
    expect(Object.keys(report.rows.student.scores)).toEqual(['fine-detail gap']);
    expect(report.notices).toEqual([expect.stringContaining('by fine detail alone')]);
  });

  test.each([
    ['pictures without an extractor', { metrics: 'kid' }, 'WORKFLOW_INVALID', 'features'],
    ['a file that is not there', { features: 'no.onnx' }, 'FILE_NOT_FOUND', undefined],
  ])('refuses %s', async (_, changes, code, field) => {
    const here = await site(TINY_DIT);
    const inputs = { model: here.student, dataset: await picturesOf(here), ...SMALL, ...changes };
    await expect(run('FlowstepEvaluate', inputs, here.context)).rejects.toMatchObject({
      code,
      ...(field && { details: { field } }),
    });
  });

  test.each([
    ['steps', { steps: '1,many' }],
    ['steps', { steps: '0' }],
    ['solvers', { solvers: 'euler,magic' }],
    ['metrics', { metrics: 'fid' }],
  ])('refuses %s %o', async (field, changes) => {
    const { context, student } = await site();
    const inputs = { model: student, dataset: await pointsOf(context), ...SMALL, ...changes };
    await expect(run('FlowstepEvaluate', inputs, context)).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      details: { field },
    });
  });

  test('refuses a student for a teacher', async () => {
    const { context, student } = await site();
    const inputs = { model: student, teacher: student, dataset: await pointsOf(context), ...SMALL };
    await expect(run('FlowstepEvaluate', inputs, context)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
    });
  });
});

describe('training', () => {
  const evaluated = { evaluate_every: 2, evaluate_count: 50 };

  test('keeps the best teacher and student, and tells their scores', async () => {
    const roots = await makeRoots();
    const notices: string[] = [];
    const context = { ...makeContext(roots), onNotice: (text: string) => void notices.push(text) };
    const trained = await trainTeacher(context, evaluated);
    const teacher = trained.outputs['model'];
    const online = await onlineFlow(teacher, context);
    const evaluate_data = await pointsOf(context);
    const inputs = { teacher, online, run_name: 'student', ...tiny, ...evaluated, evaluate_data };
    await run('FlowstepDistill', inputs, context);
    for (const name of ['teacher', 'student']) {
      const folder = join(roots.output, 'runs', name);
      expect(await readdir(folder)).toEqual(
        expect.arrayContaining(['best.md', 'best.safetensors']),
      );
      expect((await loadModel(join(folder, 'best.safetensors'))).info.role).toBe(name);
      const stats = await readStats(join(folder, 'stats.jsonl'));
      const key = 'eval/energy-distance';
      const scores = stats.flatMap(({ step, metrics }) => (key in metrics ? [step] : []));
      expect(scores).toEqual([2, 3]);
      expect(notices.filter((text) => text.includes(folder))).toEqual([
        expect.stringMatching(/^best energy-distance \S+ at step [23]: /),
      ]);
    }
  });

  test('chooses among models of pictures by fine detail where there is no extractor', async () => {
    const here = await site(TINY_DIT);
    const { context, teacher } = here;
    const online = await onlineFlow(teacher, context);
    const inputs = {
      teacher,
      online,
      ...tiny,
      ...evaluated,
      evaluate_data: await picturesOf(here),
    };
    await run('FlowstepDistill', { ...inputs, steps: 2 }, context);
    expect(here.notices).toEqual([
      expect.stringContaining('by fine detail alone'),
      expect.stringMatching(/^best fine-detail gap \S+ at step 2: /),
    ]);
  });

  test('is the same run with and without evaluations, and its plot shows them', async () => {
    const context = makeContext(await makeRoots());
    const plain = await trainTeacher(context, { run_name: '' });
    const seen = await trainTeacher(context, { run_name: '', ...evaluated });
    expect(seen.files).toEqual(plain.files);
    expect(seen.outputs['model']).toEqual(plain.outputs['model']);
    const plot = { report: seen.outputs['report'], metrics: 'eval/' };
    // The run was finished before: its last model is measured all the same.
    const { outputs } = await run('FlowstepLossPlot', plot, context);
    expect(outputs['image']).toMatchObject({ shape: [1, 540, 960, 3] });
  });

  test('refuses evaluations without data before it begins', async () => {
    const context = makeContext(await makeRoots());
    const teacher = (await trainTeacher(context)).outputs['model'];
    const online = await onlineFlow(teacher, context);
    const inputs = { teacher, online, ...tiny, ...evaluated };
    await expect(run('FlowstepDistill', inputs, context)).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: { field: 'evaluate_data' },
    });
    expect(context.events).toHaveLength(3);
  });
});
