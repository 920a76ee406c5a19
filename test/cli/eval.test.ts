import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { callCli } from './support.ts';

async function models(network: typeof TINY_MLP | typeof TINY_DIT = TINY_MLP) {
  const folder = await tempFolder();
  const [student, teacher] = ['student', 'teacher'].map((n) => join(folder, `${n}.safetensors`));
  await saveModel(student!, tinyModel(network, { tStar: 0.97, cIn: 1 }));
  await saveModel(teacher!, tinyModel(network));
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
  const { teacher } = await models();
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
  ['a metric of pictures', ['--metrics', 'fid'], 1, '"fid" is no metric of points'],
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
