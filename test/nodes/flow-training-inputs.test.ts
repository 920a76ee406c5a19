/** Dropout, changed pictures, weight and times from the inputs of nodes to what is trained. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SongUNetConfigSchema } from '../../src/trainer/nn/config.ts';
import { loadModel, saveModel } from '../../src/trainer/run/model-file.ts';
import { tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';
import { run, trainTeacher } from './training-support.ts';

const NETWORK = SongUNetConfigSchema.parse({
  ...{ kind: 'song-unet', size: 4, channels: 1, augment: 9, precondition: 'edm' },
  ...{ width: 4, multipliers: [1], blocks: 1, attention: [] },
});

const optionsOf = async (inputs: object) => {
  const teacher = {
    type: 'FLOW_MODEL',
    root: 'models',
    path: 't.safetensors',
    sha256: '0'.repeat(64),
  };
  const { outputs } = await run(
    'FlowstepOnlineFlow',
    { teacher, ...inputs },
    makeContext(await makeRoots()),
  );
  return (outputs['online'] as { options: Record<string, unknown> }).options;
};

test('an online flow names what is on, and nothing of what is off', async () => {
  const plain = await optionsOf({});
  expect(Object.keys(plain).sort()).toEqual(['density', 'init', 'learningRate', 'updates']);
  expect(await optionsOf({ flow_weight: 'velocity', dropout: 0, augment: 0 })).toEqual(plain);
  const on = { flow_weight: 'edm', dropout: 0.13, augment: 0.12 };
  expect(await optionsOf(on)).toEqual({
    ...plain,
    flowWeight: 'edm',
    dropout: 0.13,
    augment: 0.12,
  });
});

test("times of EDM's schedule have their range; it ends before pure noise", async () => {
  const schedule = { density: 'edm-schedule', t_min: 0.002, t_max: 0.96 };
  expect((await optionsOf(schedule))['density']).toEqual({
    kind: 'edm-schedule',
    min: 0.002,
    max: 0.96,
  });
  await expect(optionsOf({ ...schedule, t_max: 1 })).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    details: { hint: expect.stringContaining('below 1 for edm-schedule') },
  });
});

test('a teacher without dropout says so before it trains', async () => {
  const context = makeContext(await makeRoots());
  await expect(trainTeacher(context, { dropout: 0.1 })).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    details: { field: 'dropout' },
  });
  await expect(trainTeacher(context, { augment: 0.1 })).rejects.toMatchObject({
    details: { field: 'augment' },
  });
});

test("t* of an EDM network: 1 is refused, SiD's is taken, and the student says what its online flow was told", async () => {
  const context = makeContext(await makeRoots());
  await saveModel(join(context.roots.models, 'edm.safetensors'), tinyModel(NETWORK));
  const loaded = await run('FlowstepLoadModel', { file: 'edm.safetensors' }, context);
  const teacher = loaded.outputs['model'];
  const options = { flow_weight: 'edm', dropout: 0.13, augment: 0.12 };
  const { outputs } = await run('FlowstepOnlineFlow', { teacher, ...options }, context);
  const distil = (inputs: object) =>
    run(
      'FlowstepDistill',
      {
        ...{
          teacher,
          online: outputs['online'],
          run_name: 'student',
          steps: 1,
          batch: 4,
          warmup: 0,
          sample_every: 0,
        },
        ...{ density: 'edm-schedule', t_min: 0.002, t_max: 0.9606, weight: 'sid', ...inputs },
      },
      context,
    );
  await expect(distil({ t_star: 1 })).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    details: { field: 'tStar' },
  });
  await distil({ t_star: 0.714 });
  const { info } = await loadModel(join(context.roots.output, 'runs/student/student.safetensors'));
  expect(info.student).toMatchObject({ tStar: 0.714, cIn: 0.714 });
  expect(info.training).toMatchObject({
    density: { kind: 'edm-schedule' },
    online: { flowWeight: 'edm', dropout: 0.13, augment: 0.12 },
  });
});
