/** @file Real data and students of several steps in FGM Distill. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { studentSettings, weightsHash } from '../../src/trainer/run/model.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import type { Tensor } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots } from './support.ts';
import { onlineFlow, run, tiny, trainTeacher } from './training-support.ts';

describe('real data in FGM Distill', () => {
  async function distil(inputs: object, withData: boolean) {
    const base = makeContext(await makeRoots());
    const notices: string[] = [];
    const context = { ...base, onNotice: (message: string) => notices.push(message) };
    const teacher = (await trainTeacher(context)).outputs['model'];
    const online = await onlineFlow(teacher, context);
    const { outputs } = await run('FlowstepDataset', { source: 'moons' }, context);
    const dataset = withData ? { dataset: outputs['dataset'] } : {};
    const all = { teacher, online, run_name: 'student', ...tiny, ...dataset, ...inputs };
    await run('FlowstepDistill', all, context);
    const file = join(context.roots.output, 'runs/student/student.safetensors');
    return { notices, training: (await loadModel(file)).info.training };
  }

  test('is named in the student, with the hash of the data', async () => {
    const { training, notices } = await distil({ real_alpha: 0.5, lambda1: 1 }, true);
    expect(training['realData']).toEqual({
      dataset: { name: 'moons', hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      realAlpha: 0.5,
      realBeta: 1,
    });
    expect(notices).toEqual([]);
  });

  test('a data set that is not used, and a loss that it does not belong to, are told', async () => {
    expect((await distil({}, true)).notices).toEqual([
      'the data set is not used, as real_alpha is 1 and gan_weight 0',
    ]);
    expect((await distil({ real_alpha: 0.5 }, true)).notices).toEqual([
      expect.stringContaining('lambda1 is 0'),
    ]);
  });

  test('asks for a data set, and for alpha and beta that fit together', async () => {
    await expect(distil({ real_alpha: 0.5 }, false)).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: { field: 'dataset' },
    });
    await expect(distil({ real_beta: 0.5 }, true)).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      message: expect.stringContaining('realBeta is 0.5'),
    });
  });
});

describe('students of several steps', () => {
  test('carry their grid and how they go from step to step, and are sampled by it', async () => {
    const context = makeContext(await makeRoots());
    const teacher = (await trainTeacher(context)).outputs['model'];
    const online = await onlineFlow(teacher, context);
    const few = { student_steps: 3, shift: 3, transition: 'fresh', t_star: 1 };
    const trained = await run(
      'FlowstepDistill',
      { teacher, online, run_name: 'student', ...tiny, ...few },
      context,
    );
    const file = join(context.roots.output, 'runs/student/student.safetensors');
    const { student } = (await loadModel(file)).info;
    expect(student).toEqual(
      studentSettings({ tStar: 1, cIn: 1, steps: 3, shift: 3, transition: 'fresh' }),
    );
    const model = trained.outputs['student'];
    const draw = async (inputs: object) => {
      const { outputs } = await run(
        'FlowstepOneStepSampler',
        { model, seed: 1, count: 6, ...inputs },
        context,
      );
      return (outputs['latent'] as { samples: Tensor }).samples.data;
    };
    expect(await draw({})).toEqual(await draw({ steps: 3 }));
    expect(await draw({ steps: 1 })).not.toEqual(await draw({}));
    await expect(draw({ steps: 4 })).rejects.toMatchObject({ code: 'VALUE_OUT_OF_RANGE' });
  });
});

describe('a student to go on with', () => {
  async function stages(second: object) {
    const base = makeContext(await makeRoots());
    const notices: string[] = [];
    const context = { ...base, onNotice: (message: string) => notices.push(message) };
    const teacher = (await trainTeacher(context)).outputs['model'];
    const first = await run(
      'FlowstepDistill',
      { teacher, online: await onlineFlow(teacher, context), run_name: 'one', ...tiny },
      context,
    );
    const { student, online } = first.outputs;
    const inputs = { teacher, online, student, run_name: 'two', ...tiny, ...second };
    const { outputs } = await run('FlowstepDistill', inputs, context);
    return { notices, first: student, second: outputs['student'], teacher, context };
  }

  test('goes on with the weights of both flows, and the new model says so', async () => {
    const { notices, context } = await stages({ learning_rate: 1e-8, ema_decay: 0 });
    const [one, two] = await Promise.all(
      ['one', 'two'].map((name) =>
        loadModel(join(context.roots.output, `runs/${name}/student.safetensors`)),
      ),
    );
    const farthest = Math.max(...two!.parameters.map((x, i) => Math.abs(x - one!.parameters[i]!)));
    expect(farthest).toBeLessThan(1e-6);
    expect(two!.info.training['studentStart']).toBe(weightsHash(one!));
    expect(notices).toEqual([]);
  });

  test('an online flow is read from its file', async () => {
    const { teacher, context } = await stages({});
    const file = 'runs/one/online.safetensors';
    const loaded = await run('FlowstepLoadModel', { file }, context);
    const model = loaded.outputs['model'];
    const { outputs } = await run('FlowstepOnlineFlow', { teacher, model }, context);
    expect(outputs['online']).toMatchObject({ weights: { root: 'output', path: file } });
    const online = outputs['online'];
    const inputs = { teacher, online, run_name: 'three', ...tiny, learning_rate: 1e-8 };
    await run('FlowstepDistill', inputs, context);
    const { info } = await loadModel(join(context.roots.output, 'runs/three/student.safetensors'));
    const before = await loadModel(join(context.roots.output, file));
    expect(info.training['online']).toMatchObject({ start: weightsHash(before) });
  });

  test('the online flow must be one', async () => {
    const { teacher, context } = await stages({});
    const inputs = { teacher, model: teacher };
    await expect(run('FlowstepOnlineFlow', inputs, context)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('is a teacher, not an online flow'),
      details: { field: 'model' },
    });
  });

  test('tells when it goes on with other settings', async () => {
    expect((await stages({ t_star: 0.8, student_steps: 2 })).notices).toEqual([
      'the student was made for t* 0.97, c_in 0.97 and 1 step(s); it goes on with t* 0.8, c_in 0.8 and 2',
    ]);
  });

  test('must be a student', async () => {
    const { teacher, context } = await stages({});
    const inputs = {
      teacher,
      online: await onlineFlow(teacher, context),
      student: teacher,
      ...tiny,
    };
    await expect(run('FlowstepDistill', inputs, context)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      details: { field: 'student' },
    });
  });
});
