/** The options that name data: one data set is meant, and what it does not use is refused by name. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { plainPng, writeFiles } from '../support/pictures.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

async function place() {
  const folder = await tempFolder();
  const environment = {
    FLOWSTEP_MODELS: join(folder, 'models'),
    FLOWSTEP_OUTPUT: join(folder, 'output'),
    FLOWSTEP_DATA: join(folder, 'data'),
  };
  const pictures = join(folder, 'my pictures');
  await writeFiles(pictures, {
    'a.png': await plainPng('#102030'),
    'b.png': await plainPng('#405060'),
  });
  return {
    folder,
    pictures,
    runs: join(environment.FLOWSTEP_OUTPUT, 'runs'),
    call: (...args: string[]) => callCli(args, environment),
  };
}

/** Four vectors of two numbers. */
async function latentsIn(folder: string): Promise<string> {
  const file = join(folder, 'mine.safetensors');
  const values = Float32Array.from({ length: 8 }, (_, i) => Math.sin(i));
  await writeSafetensors(file, new Map([['latents', float32(values, [4, 2])]]));
  return file;
}

const QUICK = ['--steps', '1', '--batch', '2', '--warmup', '0', '--sample-every', '0'];

describe('a path names the data set', () => {
  test('--folder is a folder of pictures', async () => {
    const { call, pictures, runs } = await place();
    const train = ['train', '--folder', pictures, '--size', '8', '--network', 'dit-s'];
    expect(await call(...train, '--run-name', 'a', ...QUICK)).toMatchObject({ code: 0 });
    const { info } = await loadModel(join(runs, 'a/teacher.safetensors'));
    expect(info.dataset.name).toBe('my pictures');
  });

  test('--latents is a file of latents', async () => {
    const { call, folder, runs } = await place();
    const file = await latentsIn(folder);
    const train = ['train', '--latents', file, '--network', 'mlp', '--run-name', 'a', ...QUICK];
    expect(await call(...train)).toMatchObject({ code: 0 });
    const { info } = await loadModel(join(runs, 'a/teacher.safetensors'));
    expect(info.dataset.name).toBe('mine.safetensors');
  });

  test('--folder is real data to distil with', async () => {
    const { call, pictures, folder } = await place();
    await call('train', '--run-name', 'a', ...QUICK);
    const teacher = join(folder, 'output/runs/a/teacher.safetensors');
    const workflow = join(folder, 'distill.json');
    await call(
      ...['distill', '--teacher', teacher, '--folder', pictures, '--size', '8'],
      ...['--save-workflow', workflow, ...QUICK],
    );
    expect(JSON.parse(await readFile(workflow, 'utf8'))).toMatchObject({
      4: { inputs: { source: 'folder', folder: 'my pictures', size: 8 } },
    });
  });
});

describe('what the data set does not use is refused', () => {
  test.each([
    [['--dataset', '8g', '--folder', 'x', '--size', '3'], '--folder, --size are not for --dataset'],
    [['--dataset', 'moons', '--flip', 'true'], '--flip is not for --dataset moons'],
    [['--folder', 'x', '--latents', 'y'], '--latents is not for --dataset folder'],
    [['--folder', 'x', '--split', 'test'], '--split is not for --dataset folder'],
    [['--size', '32'], '--size needs --dataset'],
    [['--flip', 'false', '--size', '32'], '--size, --flip need --dataset'],
  ])('by train %j', async (args, message) => {
    const { call } = await place();
    const { code, stdout, stderr } = await call('train', ...args);
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(`error USAGE: ${message}`),
    });
  });

  test('by distill and eval', async () => {
    const { call, folder } = await place();
    await call('train', '--run-name', 'a', ...QUICK);
    const model = join(folder, 'output/runs/a/teacher.safetensors');
    const wrong = ['--dataset', '8g', '--folder', 'x'];
    for (const args of [
      ['distill', '--teacher', model],
      ['eval', '--model', model],
    ]) {
      const { code, stderr } = await call(...args, ...wrong);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringContaining('--folder is not for --dataset 8g'),
      });
    }
  });

  test('with the data sets that it is for', async () => {
    const { call } = await place();
    const { stderr } = await call('train', '--flip', 'true');
    expect(stderr).toContain('--flip is for --dataset fashion-mnist, idx, folder, cifar10.');
    expect(stderr).toContain('Without one, 8g is taken.');
  });
});

test('what only a graph can give is not offered', async () => {
  const { call } = await place();
  const { code, stderr } = await call('train', '--dataset', 'images');
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining('Allowed choices are 8g, moons, checker'),
  });
});

test.each([
  ['folder', '--folder'],
  ['idx', '--images'],
  ['latents', '--latents'],
])('--dataset %s without its path says that it is %s', async (name, option) => {
  const { call } = await place();
  const { code, stderr } = await call('train', '--dataset', name);
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(option) });
});

describe('what is not said', () => {
  /** The inputs of Train Flow Teacher; the pictures are not there, so that nothing is trained. */
  async function inputsOf(...args: string[]) {
    const { call, folder } = await place();
    const workflow = join(folder, 'train.json');
    await call('train', '--folder', 'nowhere', ...args, '--save-workflow', workflow);
    return JSON.parse(await readFile(workflow, 'utf8'))['2'].inputs;
  }

  test('is for pictures where pictures are learned', async () => {
    expect(await inputsOf()).toMatchObject({
      ...{ network: 'dit-s', batch: 64, learning_rate: 3e-4, warmup: 500, ema_decay: 0.999 },
      ...{ density: 'logit-normal', t_min: 0, t_max: 1 },
    });
  });

  test('stays what it was when the run goes on; a batch larger than the data is told', async () => {
    const { call, folder, runs } = await place();
    const file = await latentsIn(folder);
    const { code, stderr } = await call(
      ...['train', '--latents', file, '--network', 'mlp', '--steps', '1', '--run-name', 'a'],
    );
    expect(code).toBe(0);
    expect(stderr).toContain(
      'the batch of 64 is larger than mine.safetensors, which has 4 samples',
    );
    const environment = { FLOWSTEP_OUTPUT: join(folder, 'output'), FLOWSTEP_DATA: folder };
    const resumed = await callCli(['resume', 'a', '--steps', '2'], environment);
    expect(resumed).toMatchObject({ code: 0 });
    const { info } = await loadModel(join(runs, 'a/teacher.safetensors'));
    expect(info.training).toMatchObject({
      ...{ steps: 2, batch: 64, learningRate: 3e-4, warmup: 500, emaDecay: 0.999 },
      density: { kind: 'logit-normal', min: 0, max: 1 },
    });
  });

  test('gives way to what is said, one by one', async () => {
    expect(await inputsOf('--batch', '8', '--t-max', '0.9')).toMatchObject({
      ...{ network: 'dit-s', batch: 8, learning_rate: 3e-4, t_min: 0, t_max: 0.9 },
    });
  });

  test('of times belongs to the density', async () => {
    const range = { t_min: 0.02, t_max: 0.98 };
    expect(await inputsOf('--density', 'edm-schedule')).toMatchObject(range);
    expect(await inputsOf('--density', 'logit-normal')).toMatchObject({ t_min: 0, t_max: 1 });
  });

  test('is for points where points are learned', async () => {
    const { call, runs } = await place();
    const { stderr } = await call(
      'train',
      ...['--dataset', 'moons', '--steps', '1', '--run-name', 'a', '--sample-every', '0'],
    );
    const { info } = await loadModel(join(runs, 'a/teacher.safetensors'));
    expect(info.network.kind).toBe('mlp');
    expect(info.training).toMatchObject({
      ...{ batch: 512, learningRate: 1e-3, warmup: 100, emaDecay: 0.995 },
      density: { kind: 'uniform', min: 0.02, max: 0.98 },
    });
    expect(stderr).not.toContain('larger than');
  });
});

test.each([
  ['--evaluate-every', '1'],
  ['--gan-weight', '0.1'],
  ['--real-alpha', '0.9'],
])('distill %s without data says that it is --dataset that is missing', async (option, value) => {
  const { call, folder } = await place();
  await call('train', '--run-name', 'a', ...QUICK);
  const teacher = join(folder, 'output/runs/a/teacher.safetensors');
  const { code, stderr } = await call('distill', '--teacher', teacher, option, value, ...QUICK);
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/hint: .*--dataset/) });
});
