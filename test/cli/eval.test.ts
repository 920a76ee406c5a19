import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { otherDataNotices } from '../../src/cli/model-data.ts';
import { heldDataset } from '../../src/trainer/data/held-dataset.ts';
import { pointSet } from '../../src/trainer/data/points.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { callCli } from './support.ts';

/** Models that were trained on `dataset`. */
async function models(
  network: typeof TINY_MLP | typeof TINY_DIT = TINY_MLP,
  { name, hash } = { name: 'none', hash: '0' },
) {
  const folder = await tempFolder();
  const [student, teacher] = ['student', 'teacher'].map((n) => join(folder, `${n}.safetensors`));
  const save = (file: string, { info, parameters }: FlowModel) =>
    saveModel(file, { info: { ...info, dataset: { name, hash } }, parameters });
  await save(student!, tinyModel(network, { tStar: 0.97, cIn: 1 }));
  await save(teacher!, tinyModel(network));
  return { folder, student: student!, teacher: teacher! };
}

const small = ['--count', '40', '--draws', '2', '--steps', '1,4'];

test('prints a table, and writes the plot', async () => {
  const { folder, student, teacher } = await models();
  const plot = join(folder, 'plots', 'out.png');
  const { code, stdout } = await callCli([
    ...['eval', '--model', student, '--teacher', teacher, '--dataset', 'checker'],
    ...[...small, '--metrics', 'energy-distance,outside', '--plot', plot],
  ]);
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toBe('40 samples against checker');
  expect(lines[1]!.trim().split(/ {2,}/)).toEqual([
    ...['NFE', 'ms a sample', 'energy-distance', 'outside'],
  ]);
  expect(lines.slice(2, -1).map((line) => line.split(/ {2,}/).slice(0, 2))).toEqual([
    ['student', '1'],
    ['teacher euler 1', '1'],
    ['teacher euler 4', '4'],
    ['teacher heun 1', '1'],
    ['teacher heun 4', '7'],
  ]);
  expect(lines.at(-1)).toBe(plot);
  expect((await readFile(plot)).subarray(1, 4).toString()).toBe('PNG');
});

test('--json is the whole table; guidance doubles the evaluations of a teacher', async () => {
  const { teacher } = await models(TINY_MLP, pointSet('moons'));
  const args = ['eval', '--json', '--model', teacher, '--dataset', 'moons', ...small];
  const { rows, ...report } = JSON.parse((await callCli(args)).stdout);
  expect(report).toEqual({
    ...{ ok: true, dataset: 'moons', count: 40, draws: 2, seed: 1, notices: [] },
  });
  expect(rows['model heun 4']).toEqual({
    solver: 'heun',
    steps: 4,
    nfe: 7,
    secondsPerSample: expect.any(Number),
    scores: {
      'energy-distance': { value: expect.any(Number), std: expect.any(Number) },
      'sliced-wasserstein': { value: expect.any(Number), std: expect.any(Number) },
      'modes-covered': { value: expect.any(Number), std: expect.any(Number) },
      'least-share': { value: expect.any(Number), std: expect.any(Number) },
    },
  });
});

test.each([
  ['a plot of another type', ['--plot', 'out.jpg'], 2, 'must end in .png'],
  ['steps that are none', ['--steps', '1,x'], 1, '"x" is no number of steps'],
  [
    'a metric of pictures',
    ['--dataset', '8g', '--metrics', 'fid'],
    1,
    '"fid" is no metric of points',
  ],
])('refuses %s', async (_, args, exit, message) => {
  const { student } = await models();
  const { code, stderr } = await callCli(['eval', '--model', student, ...args]);
  expect({ code, stderr }).toEqual({ code: exit, stderr: expect.stringContaining(message) });
});

test('refuses a student for a teacher, and a model of other data', async () => {
  const { student } = await models();
  const asTeacher = await callCli(['eval', '--model', student, '--teacher', student]);
  expect(asTeacher.stderr).toContain('is a student');
  const pictures = await models(TINY_DIT);
  const { stderr } = await callCli(['eval', '--model', pictures.student, '--dataset', '8g']);
  expect(stderr).toContain('the model makes samples of [1, 4, 4], and 8g holds points');
});

/** A data folder with forty pictures of 4 x 4 in the files of Fashion-MNIST. */
async function tinyFashion(): Promise<string> {
  const data = await tempFolder();
  const pixels = Array.from({ length: 40 * 16 }, (_, i) => (i * 7919) % 251);
  const labels = Array.from({ length: 40 }, (_, i) => i % 3);
  for (const part of ['train', 't10k']) {
    const header = [0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 4];
    const images = Uint8Array.from([...header, ...pixels]);
    await writeFile(join(data, `${part}-images-idx3-ubyte`), images);
    const classes = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 40, ...labels]);
    await writeFile(join(data, `${part}-labels-idx1-ubyte`), classes);
  }
  return data;
}

describe('the data', () => {
  const quick = ['--count', '20', '--draws', '1', '--json'];
  const answerOf = async (...args: string[]) =>
    JSON.parse((await callCli(['eval', ...quick, ...args])).stdout);

  test("are the model's own where nothing is said", async () => {
    const { student } = await models(TINY_MLP, pointSet('moons'));
    const { dataset, notices } = await answerOf('--model', student);
    expect({ dataset, notices }).toEqual({ dataset: 'moons', notices: [] });
  });

  test('of a known set are the part that was learned, or --split', async () => {
    const data = await tinyFashion();
    const { student } = await models(TINY_DIT, { name: 'fashion-mnist/train', hash: 'x' });
    const measure = async (...args: string[]) => {
      const all = ['eval', ...quick, '--model', student, '--metrics', 'fine-detail-gap', ...args];
      return JSON.parse((await callCli(all, { FLOWSTEP_DATA: data })).stdout);
    };
    expect(await measure()).toMatchObject({ dataset: 'fashion-mnist/train', notices: [] });
    const test = await measure('--split', 'test');
    expect(test).toMatchObject({ dataset: 'fashion-mnist/test', notices: [] });
  });

  test('that are not the ones that were learned are told', async () => {
    const { student } = await models(TINY_MLP, pointSet('moons'));
    const note = 'the model was trained on moons, and is measured against 8g';
    const args = ['--model', student, '--dataset', '8g'];
    expect((await answerOf(...args)).notices).toEqual([note]);
    const { stderr } = await callCli(['eval', ...small, ...args]);
    expect(stderr).toContain(`note: ${note}\n`);
  });

  test.each([
    [{ name: 'cats', hash: '0' }, 'the model is of cats'],
    [{ name: 'moons', hash: 'of a folder' }, 'the model is of moons'],
    [{ name: 'unknown', hash: '' }, 'the model does not say what it was trained on'],
  ])('are asked for where they cannot be found: %o', async (dataset, message) => {
    const { student } = await models(TINY_MLP, dataset);
    const { code, stderr } = await callCli(['eval', '--model', student]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining(`--dataset is missing: ${message}`),
    });
  });

  test('are the same when they are mirrored in training', () => {
    const held = { name: 'cats', shape: [1, 2, 2], samples: new Uint8Array(8), classes: 0 };
    const [plain, flipped] = [false, true].map((flip) => heldDataset({ ...held, hash: 'h', flip }));
    const other = heldDataset({ ...held, hash: 'other', flip: false });
    expect(otherDataNotices(plain!, flipped!)).toEqual([]);
    expect(otherDataNotices(flipped!, plain!)).toEqual([]);
    expect(otherDataNotices(flipped!, other)).toEqual([
      'the model was trained on cats, and is measured against other data of that name',
    ]);
  });
});

test('--cfg guides flows of many steps, which takes twice the evaluations', async () => {
  const { teacher, student } = await models(TINY_DIT, { name: 'fashion-mnist/train', hash: 'x' });
  const environment = { FLOWSTEP_DATA: await tinyFashion() };
  const args = ['eval', '--json', '--model', student, '--teacher', teacher, ...small];
  const measure = async (...more: string[]) =>
    JSON.parse((await callCli([...args, ...more], environment)).stdout);
  const guided = await measure('--cfg', '5', '--cfg-t-max', '0.9');
  expect(guided).toMatchObject({ cfg: 5, cfgTMax: 0.9 });
  const { rows } = await measure();
  expect(guided.rows['teacher euler 4'].nfe).toBeGreaterThan(rows['teacher euler 4'].nfe);
  const scores = ({ scores }: { scores: object }) => scores;
  expect(scores(guided.rows['teacher euler 4'])).not.toEqual(scores(rows['teacher euler 4']));
  expect(scores(guided.rows.student)).toEqual(scores(rows.student));
});

test.each([
  ['a model without classes', 'teacher' as const, 'guidance leads towards a class or a text'],
  ['a student alone', 'student' as const, 'guidance is for flows of many steps'],
])('refuses guidance of %s', async (_, name, message) => {
  const all = await models(TINY_MLP, pointSet('moons'));
  const { code, stderr } = await callCli(['eval', '--model', all[name], '--cfg', '5']);
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(message) });
});
