import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, tinyModel } from '../support/tiny-models.ts';
import { callCli } from './support.ts';

async function withStudent() {
  const folder = await tempFolder();
  const model = join(folder, 'student.safetensors');
  await saveModel(model, tinyModel(TINY_DIT, { tStar: 0.9, cIn: 1 }));
  return { folder, model };
}

describe('flowstep export', () => {
  test('writes a student as one .onnx, and tells what goes in and out', async () => {
    const { folder, model } = await withStudent();
    const out = join(folder, 'new/student.onnx');
    const { code, stdout } = await callCli(['export', model, '--out', out]);
    expect(code).toBe(0);
    expect(stdout).toBe(
      `${out}\nsampler: noise float32[batch, 1, 4, 4], labels int64[batch] -> samples float32[batch, 1, 4, 4], images float32[batch, 4, 4, 3]\n`,
    );
    const shown = await callCli(['inspect', out]);
    expect(shown.stdout).toMatch(/^exported +sampler$/m);
    expect((await callCli(['verify', out])).code).toBe(0);
  });

  test('writes a velocity, which inspect knows as a network and sample runs', async () => {
    const { folder, model } = await withStudent();
    const out = join(folder, 'velocity.onnx');
    const { code, stdout } = await callCli([
      ...['export', model, '--graph', 'velocity', '--out', out, '--json'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      graph: 'velocity',
      files: [out],
      inputs: [{ name: 'x' }, { name: 't', shape: [] }, { name: 'labels', dtype: 'int64' }],
      outputs: [{ name: 'velocity', shape: [1, 4, 4] }],
    });
    const shown = await callCli(['inspect', out]);
    expect(shown.stdout).toMatch(/predicts +velocity/);
    expect(shown.stdout).toMatch(/embed\.weight {2}\[8, 1, 2, 2\]/);
    expect(shown.stdout.split('\n').every((line) => line.length < 200)).toBe(true);
    const png = join(folder, 'x.png');
    const sampled = await callCli(['sample', '--model', out, '--count', '2', '--out', png]);
    expect(sampled.code).toBe(0);
    await stat(png);
  });

  test('writes a model for Triton', async () => {
    const { folder, model } = await withStudent();
    const out = join(folder, 'repository/digits');
    const args = ['export', model, '--format', 'triton', '--max-batch', '7', '--out', out];
    expect((await callCli(args)).code).toBe(0);
    expect(await readFile(join(out, 'config.pbtxt'), 'utf8')).toContain('max_batch_size: 7');
  });

  test.each([
    [['--out', 'student.bin'], /the name must end in \.onnx/],
    [['--out', 'student.onnx', '--max-batch', '3'], /--max-batch is for --format triton/],
    [['--out', 'a b', '--format', 'triton'], /"a b" is no name for a model/],
  ])('%j is refused', async (args, message) => {
    const { model } = await withStudent();
    const { code, stderr } = await callCli(['export', model, ...args]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });
});
