import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { initialise } from '../../src/trainer/nn/parameters.ts';
import { studentSettings } from '../../src/trainer/run/model.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

/** A model with random weights: made in no time, and samples come out all the same. */
async function writeModel(file: string, role: 'teacher' | 'student', classes?: number) {
  const network =
    classes === undefined
      ? ({ kind: 'mlp', dim: 2, width: 8, layers: 1, activation: 'silu', time: 'append' } as const)
      : ({
          kind: 'dit',
          size: 4,
          channels: 1,
          patch: 2,
          width: 8,
          depth: 1,
          heads: 1,
          classes,
        } as const);
  await saveModel(file, {
    info: {
      role,
      network,
      ...(role === 'student' && { student: studentSettings({ tStar: 0.97, cIn: 0.97 }) }),
      dataset: { name: 'none', hash: '0' },
      training: {},
    },
    parameters: initialise(parameterList(network), 1),
  });
  return file;
}

describe('flowstep sample', () => {
  test('writes one tensor of samples; a student takes one step, the same seed the same samples', async () => {
    const folder = await tempFolder();
    const model = await writeModel(join(folder, 'student.safetensors'), 'student');
    const out = join(folder, 'new/samples.safetensors');
    const args = ['sample', '--model', model, '--count', '6', '--seed', '3', '--out', out];
    const { code, stdout, stderr } = await callCli(args);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${out}\n` });
    expect(stderr).toContain('6 samples by one-step, 1 step, in');
    const first = (await readSafetensors(out)).tensors.get('samples');
    expect(first?.shape).toEqual([6, 2]);
    await callCli(args);
    expect((await readSafetensors(out)).tensors.get('samples')?.data).toEqual(first?.data);
  });

  test('--json tells what was made, and failures too', async () => {
    const folder = await tempFolder();
    const model = await writeModel(join(folder, 'student.safetensors'), 'student');
    const file = join(folder, 'x.png');
    const args = ['sample', '--json', '--model', model, '--count', '3', '--out', file];
    const { stdout } = await callCli(args);
    expect(JSON.parse(stdout)).toEqual({
      ok: true,
      file,
      count: 3,
      seed: 0,
      solver: 'one-step',
      steps: 1,
      seconds: expect.any(Number),
    });
    const failed = await callCli([...args, '--label', '1']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({ ok: false, error: { field: 'label' } });
  });

  test('a teacher takes 50 Euler steps unless told otherwise', async () => {
    const folder = await tempFolder();
    const model = await writeModel(join(folder, 'teacher.safetensors'), 'teacher');
    const sample = (...more: string[]) =>
      callCli(['sample', '--model', model, '--out', join(folder, 'x.png'), ...more]);
    expect((await sample()).stderr).toContain('by euler, 50 steps');
    expect((await sample('--solver', 'heun', '--steps', '3')).stderr).toContain('by heun, 3 steps');
  });

  test.each([
    [
      'one-step from a teacher',
      'teacher',
      ['--solver', 'one-step'],
      1,
      /cannot be sampled in one step/,
    ],
    ['euler from a student', 'student', ['--solver', 'euler'], 1, /cannot be sampled by euler/],
    ['more steps than trained', 'student', ['--steps', '4'], 1, /steps must be .* 1 to 1, not 4/],
    ['a label without classes', 'student', ['--label', '0'], 1, /model without classes/],
    ['guidance without classes', 'teacher', ['--cfg', '5'], 1, /the model takes neither/],
  ] as const)('refuses %s', async (_, role, more, exitCode, message) => {
    const folder = await tempFolder();
    const model = await writeModel(join(folder, 'm.safetensors'), role);
    const out = join(folder, 'x.png');
    const { code, stderr } = await callCli(['sample', '--model', model, '--out', out, ...more]);
    expect(code).toBe(exitCode);
    expect(stderr).toMatch(message);
    expect(await readdir(folder)).not.toContain('x.png');
  });

  test('labels choose a class; one that does not exist is refused', async () => {
    const folder = await tempFolder();
    const model = await writeModel(join(folder, 'm.safetensors'), 'student', 3);
    const sample = (label: string) =>
      callCli([
        'sample',
        '--model',
        model,
        '--count',
        '4',
        '--out',
        join(folder, 'x.png'),
        '--label',
        label,
      ]);
    expect(await sample('2')).toMatchObject({ code: 0 });
    const refused = await sample('3');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Labels go from 0 to 2');
  });

  test('says which model file is missing', async () => {
    const { code, stderr } = await callCli([
      'sample',
      '--model',
      'no.safetensors',
      '--out',
      'x.png',
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain('no.safetensors');
  });
});
