/** `flowstep inspect`, `verify` and `doctor`: text for people, JSON for programs, exit codes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkText } from '../../src/cli/doctor.ts';
import { factLines } from '../../src/cli/facts.ts';
import { type Files, makeFiles } from '../host/file-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli, spawnCli } from './support.ts';

const call = ({ roots }: Files, ...args: string[]) =>
  callCli(args, {
    FLOWSTEP_MODELS: roots.models,
    FLOWSTEP_OUTPUT: roots.output,
    FLOWSTEP_DATA: roots.data,
  });

describe('flowstep inspect', () => {
  test.each([
    ['model', /^kind {10}model\nfile .*\n(.*\n)*title +One-step student on none/],
    ['lora', /a\.lora_up\.weight {2}F32 {2}\[3, 2\]/],
    ['onnx', /^kind +onnx/],
    ['workflow', /nodes\n {2}1 {2}FlowstepLoadModel/],
    ['picture', /width +3\n/],
    ['run', /outcome +finished/],
  ] as const)('shows a %s to people', async (kind, text) => {
    const files = await makeFiles();
    const { code, stdout, stderr } = await call(files, 'inspect', files[kind]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(text);
  });

  test('--json has all of it', async () => {
    const files = await makeFiles();
    const { stdout } = await call(files, 'inspect', files.model, '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      kind: 'model',
      model: { student: { tStar: 0.97 } },
      metadata: { 'flowstep.format': '1' },
    });
  });

  test('a file that cannot be read exits with 1, as JSON too', async () => {
    const files = await makeFiles();
    const { code, stdout, stderr } = await call(files, 'inspect', 'nowhere.png', '--json');
    expect(code).toBe(1);
    expect(stderr).toContain('error FILE_NOT_FOUND');
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'FILE_NOT_FOUND' } });
  });
});

describe('flowstep verify', () => {
  test('has a line for each file and exits with 0 when all are whole', async () => {
    const files = await makeFiles();
    const { code, stdout, stderr } = await call(files, 'verify', files.model, files.run);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toEqual([
      `ok      ${files.model}: model (names and shapes of the weights, hash of the weights, model card)`,
      `ok      ${files.run}: run (run.json, 6 recorded steps, 2 checkpoints, 0 models)`,
    ]);
  });

  test('exits with 1 when one is not, after all were looked at', async () => {
    const files = await makeFiles();
    await writeFile(files.lora, 'abc');
    const { code, stdout, stderr } = await call(files, 'verify', files.lora, files.onnx);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(/^FAILED .*lora.*: .*\nok .*net\.onnx/);
    const json = await call(files, 'verify', files.lora, files.onnx, '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: false,
      files: [
        { ok: false, file: files.lora, problems: [expect.any(String)] },
        { ok: true, kind: 'onnx', problems: [] },
      ],
    });
  });

  test('without files is wrong usage', async () => {
    expect(await callCli(['verify'])).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('flowstep doctor', () => {
  test('tests the devices in processes of their own, and exits with 1 when there is a problem', async () => {
    const cwd = await tempFolder();
    await writeFile(join(cwd, 'file'), '');
    const { code, stdout, stderr } = await spawnCli(['doctor', '--json'], {
      cwd,
      environment: { FLOWSTEP_OUTPUT: join(cwd, 'file/output') },
    });
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    const { ok, checks } = JSON.parse(stdout);
    expect(ok).toBe(false);
    expect(checks).toContainEqual({
      name: 'cpu',
      status: 'ok',
      message: expect.stringMatching(
        /^ONNX Runtime 1\.\d+\.\d+ \(.*CPU\), \d+ threads?; a test program/,
      ),
    });
    expect(checks).toContainEqual(
      expect.objectContaining({ name: 'output', status: 'problem', hint: expect.any(String) }),
    );
    // Three processes, one after the other, on a machine that may be busy.
  }, 120_000);

  test('the test of one device is what such a process prints', async () => {
    const { code, stdout } = await callCli(['doctor', '--probe', 'cpu']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, version: expect.any(String) });
    const failed = await callCli(['doctor', '--probe', 'webgpu']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining('already runs on cpu') },
    });
  });

  test('a check is a line, what to do stands below it', () => {
    const check = { name: 'disk', status: 'warning', message: 'full' } as const;
    expect(checkText(check)).toBe('warning  disk           full');
    expect(checkText({ ...check, hint: 'Delete.' })).toBe(
      `warning  disk           full\n${' '.repeat(24)}Delete.`,
    );
  });
});

describe('facts as lines', () => {
  test('names on the left, in words; lists a line each', () => {
    const facts = {
      sampleShape: [1, 28, 28],
      none: undefined,
      models: [],
      inner: { a: 1, longName: 'x' },
      tensors: [{ name: 'w', dtype: 'F32', shape: [2] }],
    };
    expect(factLines(facts)).toEqual([
      'sample shape  [1, 28, 28]',
      'models        none',
      'inner',
      '  a          1',
      '  long name  x',
      'tensors',
      '  w  F32  [2]',
    ]);
  });

  test('what is long is cut', () => {
    const tensors = Array.from({ length: 50 }, (_, i) => ({ name: `t${i}` }));
    const lines = factLines({ tensors, text: 'y'.repeat(200) });
    expect(lines).toContain('  ... and 10 more (--json has all)');
    expect(lines.at(-1)).toMatch(/^text {2}y{117}\.\.\.$/);
  });
});
