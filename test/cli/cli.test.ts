import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NodeDefinitionSchema } from '../../src/bridge/protocol/node-definition.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli, spawnCli } from './support.ts';

/** A workflow that trains next to nothing. */
function tinyWorkflow(steps: number) {
  return {
    1: { class_type: 'FlowstepDataset', inputs: { source: '8g' } },
    2: {
      class_type: 'FlowstepTrainTeacher',
      inputs: { dataset: ['1', 0], steps, batch: 4, warmup: 0, run_name: 'teacher' },
      _meta: { title: 'Train' },
    },
    3: { class_type: 'FlowstepTeacherSampler', inputs: { model: ['2', 0], count: 5, steps: 2 } },
    4: { class_type: 'SaveImage', inputs: { images: ['3', 1], filename_prefix: 'points' } },
  };
}

async function writeWorkflow(folder: string, workflow: object): Promise<string> {
  const file = join(folder, 'workflow.json');
  await writeFile(file, JSON.stringify(workflow));
  return file;
}

describe('the flowstep process', () => {
  test('run writes files, names them on stdout, tells the rest on stderr and exits with 0', async () => {
    const cwd = await tempFolder();
    const file = await writeWorkflow(cwd, tinyWorkflow(2));
    const { code, stdout, stderr } = await spawnCli(['run', file], { cwd });
    expect(stdout.trim().split('\n')).toEqual([
      join(cwd, 'output/runs/teacher/teacher.safetensors'),
      join(cwd, 'output/points_00001_.png'),
    ]);
    expect(stderr).toContain('Train');
    expect(code).toBe(0);
    expect(await readdir(join(cwd, 'output'))).toContain('points_00001_.png');
  });

  test('Ctrl-C ends a training in order, with 130, and keeps what was trained', async () => {
    const cwd = await tempFolder();
    const file = await writeWorkflow(cwd, tinyWorkflow(10_000_000));
    const args = ['run', file, '--out', 'here'];
    const { code, stdout, stderr } = await spawnCli(args, { cwd, interruptAt: 'steps/s' });
    expect(stderr).toContain('interrupted');
    expect(stdout).toBe('');
    expect(code).toBe(130);
    expect(await readdir(join(cwd, 'here/runs/teacher'))).toContain('teacher.safetensors');
  });

  test('a failure exits with 1 and leaves stdout empty', async () => {
    const cwd = await tempFolder();
    const { code, stdout, stderr } = await spawnCli(['run', 'none.json'], { cwd });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('error FILE_NOT_FOUND: there is no file none.json');
  });

  test('a wrong option exits with 2 and a suggestion', async () => {
    const cwd = await tempFolder();
    const { code, stdout, stderr } = await spawnCli(['run', 'x.json', '--sett', 'a'], { cwd });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/unknown option '--sett'\n\(Did you mean --set\?\)/);
  });
});

describe('usage errors', () => {
  test.each<[string[], RegExp]>([
    [[], /Usage: flowstep/],
    [['rum'], /unknown command 'rum'[\s\S]*Did you mean run/],
    [['run'], /missing required argument 'file'/],
    [['run', 'a.json', 'b.json'], /too many arguments/],
    [['nodes', '--jsn'], /Did you mean --json/],
    [['sample', '--out', 'x.png'], /required option '--model <FILE>'/],
    [['sample', '--model', 'm', '--out', 'x.png', '--count', '0'], /whole number from 1 to/],
    [['sample', '--model', 'm', '--out', 'x.png', '--seed', '1.5'], /whole number/],
    [
      ['sample', '--model', 'm', '--out', 'x.png', '--solver', 'rk4'],
      /Allowed choices are one-step/,
    ],
    [['sample', '--model', 'm', '--out', 'x.jpg'], /must end in .png or .safetensors/],
  ])('%j exits with 2 and says why on stderr', async (args, message) => {
    const { code, stdout, stderr } = await callCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  test('an override that names no node exits with 2', async () => {
    const file = await writeWorkflow(await tempFolder(), tinyWorkflow(1));
    const { code, stderr } = await callCli(['run', file, '--set', 'Tain.steps=1']);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no node Tain (did you mean Train?)');
  });
});

describe('with --json, wrong usage is one JSON document too, and text on stderr', () => {
  test.each<[string[], RegExp]>([
    [['train', '--network', 'foo', '--json'], /argument 'foo' is invalid\. Allowed/],
    [['sample', '--json', '--out', 'x.png'], /^required option '--model <FILE>'/],
    [['train', '--run-name', 'a/b', '--json'], /must be a plain name/],
    [['bench', '--json', '--config', 'nosuch'], /Allowed choices are mlp-2d/],
    [['distill', '--json', '--size', '3', '--teacher', 'T'], /needs --dataset/],
    [['rum', '--json'], /unknown command 'rum'/],
    [['--json'], /unknown option '--json'/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await callCli(args);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      error: expect.objectContaining({
        code: 'USAGE',
        message: expect.stringMatching(message),
        hint: expect.any(String),
      }),
    });
    expect(stderr).toMatch(/^error/);
  });

  test('advice of a wrong option is the hint', async () => {
    const { stdout } = await callCli(['train', '--json', '--step', '3']);
    expect(JSON.parse(stdout).error).toMatchObject({
      message: "unknown option '--step'",
      hint: 'Did you mean --steps?',
    });
  });

  test('an argument after -- is no option', async () => {
    expect(await callCli(['run', '--', '--json', 'b'])).toMatchObject({ code: 2, stdout: '' });
  });
});

test('help leads with examples', async () => {
  const { code, stdout, stderr } = await callCli(['--help']);
  expect(stdout).toMatch(/^Examples:\n {2}flowstep /);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

test('--version prints the version of the package', async () => {
  expect(await callCli(['--version'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+/),
  });
});

describe('flowstep run', () => {
  test('--json tells files and times as JSON', async () => {
    const folder = await tempFolder();
    const file = await writeWorkflow(folder, tinyWorkflow(1));
    const out = join(folder, 'out');
    const { code, stdout } = await callCli([
      'run',
      file,
      '--json',
      '--out',
      out,
      '--set',
      'Train.steps=2',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      files: [join(out, 'runs/teacher/teacher.safetensors'), join(out, 'points_00001_.png')],
      nodes: [{ node: '1' }, { node: '2', title: 'Train' }, { node: '3' }, { node: '4' }],
    });
  });

  test('all that is wrong with a workflow is listed, for people and as JSON', async () => {
    const workflow = tinyWorkflow(0);
    const file = await writeWorkflow(await tempFolder(), {
      ...workflow,
      4: { class_type: 'SaveImage', inputs: { images: ['3', 0] } },
    });
    const { code, stderr, stdout } = await callCli(['run', file, '--json']);
    expect(code).toBe(1);
    expect(stderr).toContain(`error WORKFLOW_INVALID: ${file} cannot run`);
    expect(stderr).toContain('  node 2, steps: must be at least 1, not 0');
    expect(stderr).toContain('hint: ');
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: {
        code: 'WORKFLOW_INVALID',
        issues: [
          { node: '2', field: 'steps' },
          { node: '4', field: 'images', message: expect.stringContaining('takes IMAGE') },
        ],
      },
    });
  });

  test('FLOWSTEP_OUTPUT is the output folder, and must not be empty', async () => {
    const folder = await tempFolder();
    const file = await writeWorkflow(folder, tinyWorkflow(1));
    const output = join(folder, 'elsewhere');
    const { code } = await callCli(['run', file], { FLOWSTEP_OUTPUT: output });
    expect(code).toBe(0);
    expect(await readdir(output)).toContain('runs');
    expect(await callCli(['run', file], { FLOWSTEP_OUTPUT: '' })).toMatchObject({ code: 2 });
  });
});

describe('flowstep nodes', () => {
  test('--json prints every definition', async () => {
    const { code, stdout } = await callCli(['nodes', '--json']);
    expect(code).toBe(0);
    const definitions = NodeDefinitionSchema.array().parse(JSON.parse(stdout));
    expect(definitions.map((d) => d.id)).toContain('FlowstepDistill');
  });

  test('without it, people can read them', async () => {
    const { stdout } = await callCli(['nodes']);
    expect(stdout).toContain('FlowstepDistill  FGM Distill');
    expect(stdout).toContain('in   steps  INT 1..100000000, default 2000');
  });
});

test('bench prints the keys of the PyTorch script that it is compared with', async () => {
  const { code, stdout } = await callCli(['bench', '--seconds', '0.01', '--batch', '8', '--json']);
  expect(code).toBe(0);
  const result = JSON.parse(stdout);
  expect(result).toMatchObject({ peer: 'flowstep', config: 'mlp-2d', batch: 8, params: 33_794 });
  for (const key of ['train_ms', 'fgm_ms', 'sample1_ms', 'sample50_ms', 'peak_mib']) {
    expect(result[key], key).toBeGreaterThan(0);
  }
});

test('a device without a library is an error that says what to do', async () => {
  const args = ['sample', '--model', 'none.safetensors', '--out', 'none.png', '--device', 'cuda'];
  const { code, stderr } = await spawnCli(args, {
    cwd: await tempFolder(),
    environment: { FLOWSTEP_ORT_CUDA: '' },
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/LIBRARY_NOT_FOUND|FLOWSTEP_ORT_CUDA/);
});
