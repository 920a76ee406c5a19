/** `flowstep train` and `distill` with evaluations: extractors are named by path, or below the models folder. */
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pixelExtractor } from '../support/pixel-extractor.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

const QUICK = [
  ...['--steps', '4', '--batch', '4', '--warmup', '0', '--sample-every', '0'],
  ...['--evaluate-every', '2', '--evaluate-count', '20'],
];

async function place() {
  const folder = await tempFolder();
  const models = join(folder, 'models');
  await mkdir(models);
  const environment = {
    FLOWSTEP_MODELS: models,
    FLOWSTEP_OUTPUT: join(folder, 'output'),
    FLOWSTEP_DATA: join(folder, 'data'),
  };
  return { folder, models, runs: join(folder, 'output/runs'), environment };
}

/** The input `features` that the run can be resumed with. */
async function featuresOf(run: string) {
  const { request } = JSON.parse(await readFile(join(run, 'run.json'), 'utf8'));
  return request.inputs.features;
}

test('an extractor that lies anywhere is named by its path', async () => {
  const { environment, runs } = await place();
  const file = await pixelExtractor(await tempFolder());
  const args = ['train', '--dataset', '8g', '--run-name', 'a', '--features', file, ...QUICK];
  const { code, stderr } = await callCli(args, environment);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(file) });
  expect(stderr).toMatch(/Train Flow Teacher: best energy-distance \S+ at step [24]: /);
  expect(await readdir(join(runs, 'a'))).toContain('best.safetensors');
  expect(await featuresOf(join(runs, 'a'))).toBe('pixels.onnx');
});

test('one below the models folder is found when the teacher lies elsewhere', async () => {
  const { environment, runs, models } = await place();
  await mkdir(join(models, 'eyes'));
  await pixelExtractor(join(models, 'eyes'));
  await callCli(['train', '--dataset', '8g', '--run-name', 'a', ...QUICK], environment);
  const teacher = join(await tempFolder(), 'teacher.safetensors');
  await cp(join(runs, 'a/teacher.safetensors'), teacher);
  const { code, stderr } = await callCli(
    [
      ...['distill', '--teacher', teacher, '--dataset', '8g', '--run-name', 'b'],
      ...['--features', 'eyes/pixels.onnx', ...QUICK],
    ],
    environment,
  );
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining('FGM Distill: best'),
  });
  expect(await featuresOf(join(runs, 'b'))).toBe('eyes/pixels.onnx');
});
