import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KEPT_STEPS, keepFinished } from '../../src/nodes/finished-steps.ts';
import { openFile } from '../../src/nodes/root-files.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { makeRoots } from './support.ts';

const lines = (last: number) =>
  Array.from({ length: last }, (_, i) => `{"step":${i + 1},"metrics":{}}\n`).join('');

/** A run's folder with statistics up to a step. */
async function makeRun(last: number) {
  const roots = await makeRoots();
  const run = { folder: join(roots.output, 'runs/a'), path: 'runs/a' };
  await mkdir(run.folder, { recursive: true });
  await writeFile(join(run.folder, 'stats.jsonl'), lines(last));
  return { roots, run };
}

test('the newest models lie in the folder of the run too, and take no room twice', async () => {
  const { roots, run } = await makeRun(7);
  const teacher = tinyModel(TINY_MLP);
  const { models } = await keepFinished(run, 7, { teacher }, roots);
  expect(models.teacher.path).toBe('runs/a/steps/000000007/teacher.safetensors');
  expect((await readdir(run.folder)).sort()).toEqual([
    'stats.jsonl',
    'steps',
    'teacher.md',
    'teacher.safetensors',
  ]);
  const kept = await openFile(roots, models.teacher);
  const [a, b] = [await stat(kept), await stat(join(run.folder, 'teacher.safetensors'))];
  expect([a.ino, a.nlink]).toEqual([b.ino, 2]);
  expect((await loadModel(kept)).parameters).toEqual(teacher.parameters);
});

test('statistics that another process has added meanwhile are no part of it', async () => {
  const { roots, run } = await makeRun(9);
  const { stats } = await keepFinished(run, 7, { teacher: tinyModel(TINY_MLP) }, roots);
  expect(await readFile(await openFile(roots, stats), 'utf8')).toBe(lines(7));
});

test('the last numbers of steps are kept, and what goes is told; what was just made never goes', async () => {
  const { roots, run } = await makeRun(50);
  const keep = async (step: number) =>
    (await keepFinished(run, step, { teacher: tinyModel(TINY_MLP) }, roots)).removed;
  const removed = [];
  for (const step of [10, 20, 30, 40]) removed.push(await keep(step));
  expect(removed).toEqual([[], [], [], []]);
  expect(await keep(50)).toEqual([10]);
  expect(await keep(50)).toEqual([]);
  // Its checkpoints were lost, so the run began anew.
  expect(await keep(5)).toEqual([20]);
  const kept = await readdir(join(run.folder, 'steps'));
  expect(kept.sort()).toEqual(['000000005', '000000030', '000000040', '000000050']);
  expect(kept).toHaveLength(KEPT_STEPS);
});
