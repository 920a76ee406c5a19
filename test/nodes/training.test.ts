/** @file The nodes that compute, with networks of full width but next to no steps. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { studentSettings } from '../../src/trainer/run/model.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots, rootsIn } from './support.ts';
import { onlineFlow, run, tiny, trainTeacher } from './training-support.ts';

describe('from data to pictures', () => {
  let context: ReturnType<typeof makeContext>;
  let trained: Awaited<ReturnType<typeof run>>;
  let distilled: Awaited<ReturnType<typeof run>>;

  let base: string;
  afterAll(() => rm(base, { recursive: true, force: true }));

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'flowstep-'));
    context = makeContext(await rootsIn(base));
    trained = await trainTeacher(context);
    const teacher = trained.outputs['model'];
    const online = await onlineFlow(teacher, context);
    distilled = await run(
      'FlowstepDistill',
      { teacher, online, run_name: 'student', ...tiny, c_in: 0, t_star: 0.9, sample_every: 3 },
      context,
    );
  });

  test('a run leaves its weights, their cards and a line of statistics per step', async () => {
    expect(trained.files).toEqual(['runs/teacher/teacher.safetensors']);
    expect(distilled.files).toEqual([
      'runs/student/student.safetensors',
      'runs/student/online.safetensors',
    ]);
    const folder = join(context.roots.output, 'runs/student');
    expect((await readdir(folder)).sort()).toEqual([
      'checkpoint-000000003.safetensors',
      'online.md',
      'online.safetensors',
      'run.json',
      'samples',
      'stats.jsonl',
      'steps',
      'student.md',
      'student.safetensors',
    ]);
    const lines = (await readFile(join(folder, 'stats.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2, 3]);
  });

  test('each step is told as progress', () => {
    expect(context.events.map((event) => `${event.step}/${event.steps}`)).toEqual([
      '1/3',
      '2/3',
      '3/3',
      '1/3',
      '2/3',
      '3/3',
    ]);
  });

  test('c_in 0 stands for t*', async () => {
    const file = join(context.roots.output, 'runs/student/student.safetensors');
    expect((await loadModel(file)).info.student).toEqual(studentSettings({ tStar: 0.9, cIn: 0.9 }));
  });

  test('a student gives the same points for the same seed, and a plot of them', async () => {
    const model = distilled.outputs['student'];
    const draw = (seed: number) =>
      run('FlowstepOneStepSampler', { model, seed, count: 20 }, context);
    const [first, again, other] = [await draw(1), await draw(1), await draw(2)];
    const points = (r: typeof first) => (r.outputs['latent'] as { samples: Tensor }).samples;
    expect(points(first).shape).toEqual([20, 2]);
    expect(points(again).data).toEqual(points(first).data);
    expect(points(other).data).not.toEqual(points(first).data);
    expect((first.outputs['image'] as Tensor).shape).toMatchObject([
      1,
      expect.any(Number),
      expect.any(Number),
      3,
    ]);
  });

  test('the size of a LATENT decides how many samples there are', async () => {
    const latent = { samples: float32(new Float32Array(14), [7, 2]) };
    const model = trained.outputs['model'];
    const { outputs } = await run(
      'FlowstepTeacherSampler',
      { model, latent, count: 3, steps: 2 },
      context,
    );
    expect(outputs['latent']).toMatchObject({ samples: { shape: [7, 2] } });
  });

  test('a saved model loads as the same model, in half the bytes too', async () => {
    const inputs = {
      model: distilled.outputs['student'],
      filename_prefix: 'kept/s',
      dtype: 'float16',
    };
    const saved = await run('FlowstepSaveModel', inputs, context);
    expect(saved.outputs['path']).toBe('kept/s_00001_.safetensors');
    const loaded = await run('FlowstepLoadModel', { file: 'kept/s_00001_.safetensors' }, context);
    expect(loaded.outputs['model']).toMatchObject({ type: 'FLOW_MODEL', root: 'output' });
    const { outputs } = await run(
      'FlowstepOneStepSampler',
      { model: loaded.outputs['model'], count: 4 },
      context,
    );
    expect(outputs['latent']).toMatchObject({ samples: { shape: [4, 2] } });
  });

  test('the online flow of one run starts the next', async () => {
    const inputs = {
      teacher: trained.outputs['model'],
      online: distilled.outputs['online'],
      ...tiny,
    };
    const next = await run('FlowstepDistill', inputs, context);
    expect(next.files?.[0]).toMatch(/^runs\/student-[0-9a-f]{8}\/student.safetensors$/);
  });

  test('the statistics become a plot that Save Image writes', async () => {
    const report = distilled.outputs['report'];
    const plot = await run(
      'FlowstepLossPlot',
      { report, metrics: 'distance/', log_scale: true },
      context,
    );
    const saved = await run(
      'SaveImage',
      { images: plot.outputs['image'], filename_prefix: 'p' },
      context,
    );
    expect(saved.files).toEqual(['p_00001_.png']);
    const png = await readFile(join(context.roots.output, 'p_00001_.png'));
    expect(png.subarray(1, 4).toString()).toBe('PNG');
  });

  describe('is refused', () => {
    test.each<[string, string, () => object, object]>([
      [
        'a teacher in the One-Step Sampler',
        'FlowstepOneStepSampler',
        () => ({ model: trained.outputs['model'] }),
        { code: 'MODEL_INVALID', hint: expect.stringContaining('Flow Sampler') },
      ],
      [
        'a student in the Flow Sampler',
        'FlowstepTeacherSampler',
        () => ({ model: distilled.outputs['student'] }),
        { code: 'MODEL_INVALID', hint: expect.stringContaining('One-Step Sampler') },
      ],
      [
        'a label for a model without classes',
        'FlowstepOneStepSampler',
        () => ({ model: distilled.outputs['student'], label: 3 }),
        { code: 'VALUE_OUT_OF_RANGE', details: { field: 'label' } },
      ],
      [
        'a LATENT of another size',
        'FlowstepOneStepSampler',
        () => ({
          model: distilled.outputs['student'],
          latent: { samples: float32(new Float32Array(16), [1, 4, 2, 2]) },
        }),
        { code: 'SHAPE_MISMATCH', details: { field: 'latent' } },
      ],
      [
        'a metric that the run does not have',
        'FlowstepLossPlot',
        () => ({ report: distilled.outputs['report'], metrics: 'fid/' }),
        { code: 'UNKNOWN_KEY', hint: expect.stringContaining('loss/student') },
      ],
      [
        'a file name outside the output folder',
        'FlowstepSaveModel',
        () => ({ model: trained.outputs['model'], filename_prefix: '../x' }),
        { code: 'VALUE_OUT_OF_RANGE', details: { field: 'filename_prefix' } },
      ],
    ])('%s', async (_, id, inputs, error) => {
      await expect(run(id, inputs(), context)).rejects.toMatchObject(error);
    });

    test('a student as a teacher', async () => {
      const teacher = distilled.outputs['student'];
      const inputs = { teacher, online: await onlineFlow(teacher, context), ...tiny };
      await expect(run('FlowstepDistill', inputs, context)).rejects.toMatchObject({
        code: 'MODEL_INVALID',
      });
    });

    test('an online flow that was made for another teacher', async () => {
      const online = await onlineFlow(distilled.outputs['student'], context);
      const inputs = { teacher: trained.outputs['model'], online, ...tiny };
      await expect(run('FlowstepDistill', inputs, context)).rejects.toMatchObject({
        code: 'WORKFLOW_INVALID',
        details: { field: 'online' },
      });
    });
  });
});

describe('Train Flow Teacher', () => {
  test('refuses a network that does not fit the data, and names those that do', async () => {
    const context = makeContext(await makeRoots());
    await expect(trainTeacher(context, { network: 'dit-fashion' })).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
      message: expect.stringContaining('[1, 28, 28]'),
      hint: expect.stringContaining('mlp-2d'),
    });
    expect(await readdir(context.roots.output)).toEqual([]);
  });

  test('refuses an empty range of times', async () => {
    const context = makeContext(await makeRoots());
    await expect(trainTeacher(context, { t_min: 0.9, t_max: 0.1 })).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      details: { field: 't_min' },
    });
  });

  test('refuses a run name that is a path', async () => {
    const context = makeContext(await makeRoots());
    await expect(trainTeacher(context, { run_name: '../x' })).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
    });
  });

  test('the same settings under another name give the same weights', async () => {
    const context = makeContext(await makeRoots());
    const first = await trainTeacher(context, { seed: 5 });
    const second = await trainTeacher(context, { seed: 5, run_name: 'other' });
    expect(second.files).toEqual(['runs/other/teacher.safetensors']);
    const weights = async (result: typeof first) =>
      (await loadModel(join(context.roots.output, result.files?.[0] ?? ''))).parameters;
    expect(await weights(second)).toEqual(await weights(first));
  });

  test('without a name, runs are told apart by their settings', async () => {
    const context = makeContext(await makeRoots());
    const folderOf = async (inputs: object) =>
      (await trainTeacher(context, { run_name: '', ...inputs })).files?.[0]?.split('/')[1];
    const first = await folderOf({});
    expect(first).toMatch(/^teacher-[0-9a-f]{8}$/);
    expect(await folderOf({ steps: 5 })).toBe(first);
    expect(await folderOf({ learning_rate: 0.002 })).not.toBe(first);
  });

  test('the same name and settings: nothing is trained twice, more steps go on', async () => {
    const context = makeContext(await makeRoots());
    const first = await trainTeacher(context);
    context.events.length = 0;
    expect((await trainTeacher(context)).outputs).toEqual(first.outputs);
    expect(context.events).toEqual([]);
    await trainTeacher(context, { steps: 5 });
    expect(context.events.map(({ step }) => step)).toEqual([4, 5]);
  });

  test('the same name with other settings is refused, with what differs', async () => {
    const context = makeContext(await makeRoots());
    await trainTeacher(context);
    await expect(trainTeacher(context, { learning_rate: 0.002 })).rejects.toMatchObject({
      code: 'RUN_MISMATCH',
      message: expect.stringContaining('learningRate: 0.001, here 0.002'),
    });
  });

  test('keeps what was trained when it is cancelled', async () => {
    const abort = new AbortController();
    const base = makeContext(await makeRoots(), abort.signal);
    const context = {
      ...base,
      onProgress: ({ step }: { step: number }) => step === 2 && abort.abort(),
    };
    await expect(trainTeacher(context, { steps: 1000 })).rejects.toMatchObject({
      code: 'INTERRUPTED',
      hint: expect.stringContaining('runs/teacher'),
    });
    const file = join(context.roots.output, 'runs/teacher/teacher.safetensors');
    expect((await loadModel(file)).info.training['steps']).toBe(2);
    const later = makeContext(base.roots);
    await trainTeacher(later, { steps: 4, resume: 'must' });
    expect(later.events.map(({ step }) => step)).toEqual([3, 4]);
  });
});

describe('Flow Dataset', () => {
  /** Two 2 x 2 pictures in the idx format. */
  const idx = (first: number) =>
    Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, first, 2, 3, 4, 5, 6, 7, 8]);

  test('names idx files by their content', async () => {
    const context = makeContext(await makeRoots());
    await writeFile(join(context.roots.data, 'p.idx'), idx(1));
    const { outputs } = await run('FlowstepDataset', { source: 'idx', images: 'p.idx' }, context);
    expect(outputs['dataset']).toMatchObject({
      kind: 'idx',
      images: { root: 'data', path: 'p.idx' },
    });
  });

  test('data that has changed since are refused', async () => {
    const context = makeContext(await makeRoots());
    const file = join(context.roots.data, 'p.idx');
    await writeFile(file, idx(1));
    const { outputs } = await run('FlowstepDataset', { source: 'idx', images: 'p.idx' }, context);
    await writeFile(file, idx(9));
    const inputs = { dataset: outputs['dataset'], ...tiny };
    await expect(run('FlowstepTrainTeacher', inputs, context)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
    });
  });

  test.each([
    [{ source: 'idx' }, 'DATASET_INVALID'],
    [{ source: 'idx', images: 'none.idx' }, 'FILE_NOT_FOUND'],
    [{ source: 'idx', images: '../none.idx' }, 'FILE_UNREADABLE'],
    [{ source: 'cifar' }, 'WORKFLOW_INVALID'],
  ])('%j is refused with %s', async (inputs, code) => {
    const context = makeContext(await makeRoots());
    await expect(run('FlowstepDataset', inputs, context)).rejects.toMatchObject({ code });
  });
});

describe('Load Flow Model', () => {
  test('says where it looked for a missing file', async () => {
    const context = makeContext(await makeRoots());
    await expect(
      run('FlowstepLoadModel', { file: 'no.safetensors' }, context),
    ).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      hint: expect.stringContaining(context.roots.models),
    });
  });

  test('refuses what is no model', async () => {
    const context = makeContext(await makeRoots());
    await writeFile(join(context.roots.models, 'x.safetensors'), 'not a model');
    await expect(
      run('FlowstepLoadModel', { file: 'x.safetensors' }, context),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/FILE_FORMAT|MODEL_INVALID/),
    });
  });
});
