/** `flowstep sample` as pictures: in what size, in how many files, and with the workflow that makes them again. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeEach, describe, expect, test } from 'vitest';
import { type SampledPictures, sampleWorkflow } from '../../src/cli/sample-workflow.ts';
import { requireValid } from '../../src/host/validate.ts';
import { parseWorkflow } from '../../src/host/workflow.ts';
import { createLog } from '../../src/log.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { readPngText } from '../../src/nodes/pictures/png-text.ts';
import { NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { callCli } from './support.ts';

const LATENT_DIT = NetworkConfigSchema.parse({ ...TINY_DIT, channels: 4 });

let base: string;
let environment: Record<string, string>;

beforeEach(async () => {
  base = await tempFolder();
  environment = {
    FLOWSTEP_MODELS: join(base, 'models'),
    FLOWSTEP_OUTPUT: join(base, 'output'),
    FLOWSTEP_DATA: join(base, 'data'),
  };
  await mkdir(join(base, 'models/a'), { recursive: true });
  await saveModel(
    join(base, 'models/a/student.safetensors'),
    tinyModel(TINY_DIT, { tStar: 0.97, cIn: 0.97 }),
  );
  await saveModel(join(base, 'models/a/teacher.safetensors'), tinyModel(TINY_DIT));
  await saveModel(join(base, 'models/a/points.safetensors'), tinyModel(TINY_MLP));
  await saveModel(join(base, 'models/a/latents.safetensors'), tinyModel(LATENT_DIT));
});

const call = (...args: string[]) => callCli(args, environment);

const sample = (model: string, out: string, ...more: string[]) =>
  call('sample', '--model', join('a', model), '--seed', '7', '--out', join(base, out), ...more);

async function pixelsOf(file: string) {
  const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: [...data] };
}

async function workflowOf(file: string) {
  const texts = readPngText(await readFile(file));
  expect([...texts.keys()]).toEqual(['prompt']);
  return JSON.parse(texts.get('prompt')!);
}

describe('a file', () => {
  test('holds a single picture at its own size, several as an enlarged grid', async () => {
    await sample('student.safetensors', 'one.png', '--count', '1');
    expect(await pixelsOf(join(base, 'one.png'))).toMatchObject({ width: 4, height: 4 });
    await sample('student.safetensors', 'grid.png', '--count', '3');
    expect(await pixelsOf(join(base, 'grid.png'))).toMatchObject({ width: 3 * 34 - 2, height: 32 });
  });

  test('that cannot be made is told', async () => {
    await writeFile(join(base, 'file'), '');
    for (const out of ['file/x.png', 'file/']) {
      const { code, stderr } = await sample('student.safetensors', out);
      expect(code).toBe(1);
      expect(stderr).toContain('cannot be made');
    }
  });
});

describe('a folder', () => {
  const NUMBERS = ['000000.png', '000001.png', '000002.png'];

  test('holds each picture at its own size, those of the grid', async () => {
    const out = join(base, 'new/pictures');
    const { code, stdout } = await sample('student.safetensors', 'new/pictures/', '--count', '3');
    expect(code).toBe(0);
    expect(stdout).toBe(NUMBERS.map((name) => `${join(out, name)}\n`).join(''));
    expect((await readdir(out)).sort()).toEqual(NUMBERS);
    await sample('student.safetensors', 'grid.png', '--count', '3');
    const grid = await pixelsOf(join(base, 'grid.png'));
    for (const [i, name] of NUMBERS.entries()) {
      const picture = await pixelsOf(join(out, name));
      expect(picture).toMatchObject({ width: 4, height: 4 });
      const first = grid.data.slice(i * 34 * 3, i * 34 * 3 + 3);
      expect(picture.data.slice(0, 3)).toEqual(first);
    }
  });

  test('that is there needs no slash, and its pictures are numbered on', async () => {
    await mkdir(join(base, 'there'));
    await sample('student.safetensors', 'there', '--count', '2');
    const before = await readFile(join(base, 'there/000000.png'));
    await writeFile(join(base, 'there/000007.PNG'), '');
    const { stdout } = await sample('teacher.safetensors', 'there', '--count', '2', '--json');
    const files = ['000008.png', '000009.png'].map((name) => join(base, 'there', name));
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, folder: join(base, 'there'), files });
    expect(await readFile(join(base, 'there/000000.png'))).toEqual(before);
  });

  test.each([
    ['points.safetensors', 'out/', 'are points, not pictures for a folder'],
    ['latents.safetensors', 'out/', 'cannot be shown'],
    ['latents.safetensors', 'out.png', 'cannot be shown'],
    ['student.safetensors', 'out.jpg', 'must end in .png or .safetensors'],
  ])('or file that does not fit is refused before anything is drawn: %s, %s', async (...args) => {
    const [model, out, message] = args;
    const { code, stderr } = await sample(model, out);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(await readdir(base)).not.toContain(out.replace('/', ''));
  });
});

describe('the workflow in a picture', () => {
  /** Files that `flowstep run` writes. */
  async function runAgain(file: string): Promise<string[]> {
    const { code, stdout, stderr } = await call('run', file);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return stdout.trim().split('\n');
  }

  test.each([
    ['student.safetensors', 'one.png', ['--count', '1', '--label', '2']],
    ['student.safetensors', 'grid.png', ['--count', '5']],
    ['points.safetensors', 'plot.png', ['--count', '40', '--steps', '2']],
    [
      'teacher.safetensors',
      'guided.png',
      ['--count', '2', '--solver', 'heun', '--steps', '3', '--cfg', '2', '--cfg-t-max', '0.8'],
    ],
  ])('makes it again: %s as %s', async (model, out, more) => {
    await sample(model, out, ...more);
    const [again, ...others] = await runAgain(join(base, out));
    expect(others).toEqual([]);
    expect(await pixelsOf(again!)).toEqual(await pixelsOf(join(base, out)));
    expect(await workflowOf(again!)).toEqual(await workflowOf(join(base, out)));
  });

  test('of a folder makes all of its pictures again', async () => {
    await sample('student.safetensors', 'd/', '--count', '3');
    const files = await runAgain(join(base, 'd/000001.png'));
    expect(files).toHaveLength(3);
    for (const [i, file] of files.entries()) {
      expect(await pixelsOf(file)).toEqual(await pixelsOf(join(base, `d/00000${i}.png`)));
    }
  });

  test('says which model, seed, solver and steps, also to `inspect`', async () => {
    await sample('teacher.safetensors', 'x.png', '--count', '1', '--steps', '3', '--label', '1');
    expect(await workflowOf(join(base, 'x.png'))).toMatchObject({
      1: {
        class_type: 'FlowstepLoadModel',
        inputs: { file: 'a/teacher.safetensors', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      },
      2: {
        class_type: 'FlowstepTeacherSampler',
        inputs: { seed: 7, count: 1, solver: 'euler', steps: 3, label: 1, cfg: 1 },
      },
      3: { class_type: 'SaveImage', inputs: { images: ['2', 1] } },
    });
    const { stdout } = await call('inspect', join(base, 'x.png'), '--json');
    const found = JSON.parse(stdout);
    expect(Object.keys(found.texts)).toEqual(['prompt']);
    expect(found.workflow.nodes).toMatchObject([
      { inputs: { file: 'a/teacher.safetensors' } },
      { inputs: { seed: 7, count: 1, solver: 'euler', steps: 3, label: 1 } },
      { inputs: { filename_prefix: 'samples' } },
    ]);
    expect(found.workflow.issues).toEqual([]);
    const text = (await call('inspect', join(base, 'x.png'))).stdout;
    expect(text).toContain(
      '2  FlowstepTeacherSampler  Flow Sampler  {"seed":7,"count":1,"label":1',
    );
  });

  test('names a model outside of the folders by the folder that it tells', async () => {
    const elsewhere = join(base, 'elsewhere');
    await mkdir(elsewhere);
    const model = join(elsewhere, 'mine.safetensors');
    await cp(join(base, 'models/a/student.safetensors'), model);
    const out = join(base, 'x.png');
    const { stderr } = await call('sample', '--model', model, '--count', '1', '--out', out);
    expect(stderr).toContain(
      `to run the workflow that the picture carries, set FLOWSTEP_MODELS to ${elsewhere}\n`,
    );
    expect(await call('run', out)).toMatchObject({ code: 1 });
    environment['FLOWSTEP_MODELS'] = elsewhere;
    const [again] = await runAgain(out);
    expect(await pixelsOf(again!)).toEqual(await pixelsOf(out));
  });
});

describe('workflows of samples', () => {
  const lines: string[] = [];
  const io = () => ({
    stdout: { write: () => undefined },
    log: createLog({ write: (text) => lines.push(text) }),
    isTerminal: false,
    environment,
    signal: new AbortController().signal,
  });
  const pictures = (): SampledPictures => ({
    model: join(base, 'models/a/student.safetensors'),
    lora: undefined,
    strength: undefined,
    prompts: undefined,
    solver: 'one-step',
    steps: 1,
    seed: 7,
    count: 4,
    label: undefined,
    cfg: 1,
    cfgTMax: 1,
    isGrid: true,
  });

  test('have their LoRA, and their prompts, wherever they lie', async () => {
    const runs = join(base, 'output/runs/x');
    await mkdir(runs, { recursive: true });
    await mkdir(join(base, 'texts'));
    const [lora, prompts] = [join(runs, 'l.safetensors'), join(base, 'texts/p.safetensors')];
    for (const file of [lora, prompts]) await writeFile(file, '');
    const sampled = { ...pictures(), lora, prompts, strength: 0.5 };
    const workflow = (await sampleWorkflow(sampled, io()))!;
    expect(workflow.prompt).toMatchObject({
      1: { inputs: { lora: 'runs/x/l.safetensors', strength: 0.5 } },
      2: { inputs: { prompts: ['5', 0] } },
      3: { class_type: 'FlowstepPictureGrid' },
      4: { class_type: 'SaveImage', inputs: { images: ['3', 0] } },
      5: { class_type: 'FlowstepPromptSet', inputs: { file: 'p.safetensors' } },
    });
    expect(lines.at(-1)).toContain(`set FLOWSTEP_DATA to ${join(base, 'texts')}`);
    const registry = allNodes();
    requireValid(parseWorkflow(workflow.prompt, registry, 'it'), registry, 'it');
  });

  test('are left out where a node would not draw as many', async () => {
    expect(await sampleWorkflow({ ...pictures(), count: 65_537 }, io())).toBeUndefined();
    expect(lines.at(-1)).toContain('carry no workflow');
  });
});
