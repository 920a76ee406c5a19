import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, tinyModel } from '../support/tiny-models.ts';
import { callCli } from './support.ts';

const plan = async (...args: string[]) => {
  const { code, stdout, stderr } = await callCli(['plan', ...args]);
  return { code, stderr, stdout };
};

describe('flowstep plan', () => {
  test('tells people what a distillation takes', async () => {
    const { code, stdout, stderr } = await plan('--model', 'mlp-2d', '--batch', '256');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^model +mlp-2d\nparameters +\d+\n/);
    expect(stdout).toMatch(/^batch +256, worked off 256 at a time$/m);
    expect(stdout).toMatch(/^peak +0\.1\d* GiB$/m);
    expect(stdout).toMatch(/^fits +yes, there are [\d.]+ GiB$/m);
  });

  test('--json has bytes and operations, of a file of ours too', async () => {
    const file = join(await tempFolder(), 'teacher.safetensors');
    await saveModel(file, tinyModel(TINY_DIT));
    const { stdout } = await plan('--model', file, '--json', '--rank', '2', '--recompute');
    const { parameters } = tinyModel(TINY_DIT);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      parameters: parameters.length,
      bytes: { teacher: 4 * parameters.length },
      recompute: true,
      fits: true,
    });
  });

  test('says when it does not fit, and when nobody knows', async () => {
    const small = await plan('--model', 'mlp-2d', '--memory', '0.01');
    expect(small.stdout).toMatch(/^fits +no, there are 0\.01 GiB$/m);
    const unknown = await plan('--model', 'mlp-2d', '--device', 'cuda');
    expect(unknown.stdout).toMatch(/^fits +unknown: say with --memory/m);
    const { stdout } = await plan('--model', 'mlp-2d', '--device', 'cuda', '--json');
    expect(JSON.parse(stdout)).not.toHaveProperty('fits');
  });

  test.each([
    ['a file that is not there', ['--model', 'nowhere.safetensors'], 'FILE_NOT_FOUND'],
    [
      'a size that the network cannot have',
      ['--model', 'edm-cifar', '--resolution', '30'],
      'VALUE_OUT_OF_RANGE',
    ],
  ])('%s exits with 1', async (_title, args, code) => {
    const result = await plan(...args, '--json');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`error ${code}`);
    expect(JSON.parse(result.stdout)).toMatchObject({ ok: false, error: { code } });
  });

  test('a file of another kind is refused', async () => {
    const file = join(await tempFolder(), 'picture.safetensors');
    await writeFile(file, 'not a header');
    expect((await plan('--model', file)).code).toBe(1);
  });
});
