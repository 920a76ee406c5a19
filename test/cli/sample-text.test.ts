/** `flowstep sample` with a LoRA, prompts and guidance: by the command that a model card names. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { makeContext, rootsIn } from '../nodes/support.ts';
import { distilLora, loadBase, promptSet, putBase } from '../nodes/text-support.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

let context: ReturnType<typeof makeContext>;
let out: string;
let environment: Record<string, string>;

beforeEach(async () => {
  const base = await tempFolder();
  context = makeContext(await rootsIn(base));
  out = join(base, 'samples.safetensors');
  const { models, output, data } = context.roots;
  environment = { FLOWSTEP_MODELS: models, FLOWSTEP_OUTPUT: output, FLOWSTEP_DATA: data };
  await putBase(context);
});

const sample = (...args: string[]) =>
  callCli(['sample', '--out', out, '--count', '2', ...args], environment);

async function samples() {
  return (await readSafetensors(out)).tensors.get('samples')!;
}

describe('a LoRA', () => {
  /** Of a student that has been distilled just now. */
  async function cardCommand(): Promise<string[]> {
    await distilLora(context, await loadBase(context));
    const folder = join(context.roots.output, 'runs/lora');
    const card = await readFile(join(folder, 'student.md'), 'utf8');
    const [, options] = /^flowstep sample (.*) --count 16 --seed 1 --out \S+$/m.exec(card)!;
    const file = join(folder, 'student.safetensors');
    return options!.replace('student.safetensors', file).split(' ');
  }

  test('is sampled by the command on its card', async () => {
    const { code, stderr } = await sample(...(await cardCommand()));
    expect(code).toBe(0);
    expect(stderr).toContain('2 samples by one-step, 1 step, in');
    expect((await samples()).shape).toEqual([2, 16, 4, 4]);
  });

  test('counts as much as --strength says', async () => {
    const command = await cardCommand();
    await sample(...command);
    const full = (await samples()).data;
    await sample(...command, '--strength', '1');
    expect((await samples()).data).toEqual(full);
    await sample(...command, '--strength', '0.5');
    expect((await samples()).data).not.toEqual(full);
  });

  test('takes no guidance, which it has built in', async () => {
    const { code, stderr } = await sample(...(await cardCommand()), '--cfg', '3');
    expect(code).toBe(2);
    expect(stderr).toContain('a student has its guidance built in');
    expect(await readdir(join(out, '..'))).not.toContain('samples.safetensors');
  });
});

describe('a teacher of text', () => {
  const BASE = ['--model', 'sd3/tiny.safetensors', '--steps', '1'];

  async function prompts(): Promise<string> {
    return ((await promptSet(context)) as { path: string }).path;
  }

  test('is guided by --cfg', async () => {
    const text = ['--prompts', await prompts()];
    await sample(...BASE, ...text);
    const plain = (await samples()).data;
    await sample(...BASE, ...text, '--cfg', '4');
    expect((await samples()).data).not.toEqual(plain);
  });

  test('takes one prompt by --label', async () => {
    const text = ['--prompts', await prompts()];
    await sample(...BASE, ...text);
    const { data } = await samples();
    await sample(...BASE, ...text, '--label', '0');
    const first = (await samples()).data;
    expect(first.slice(0, first.length / 2)).toEqual(data.slice(0, data.length / 2));
    expect(first).not.toEqual(data);
    expect((await sample(...BASE, ...text, '--label', '4')).stderr).toContain('0 to 3');
  });

  test('says which file of prompts is missing', async () => {
    const { code, stderr } = await sample(...BASE, '--prompts', 'prompts/no.safetensors');
    expect(code).toBe(1);
    expect(stderr).toContain('prompts/no.safetensors');
  });

  test.each([
    [[], 1, 'takes text, and there is none'],
    [['--strength', '0.5'], 2, '--strength needs --lora'],
    [['--cfg', '0.5'], 2, 'It must be a number from 1 to 100'],
    [['--cfg-t-max', '0.5'], 2, '--cfg-t-max needs --cfg'],
    [['--lora', 'no.safetensors'], 1, 'no.safetensors'],
    [['--lora', 'sd3/tiny.safetensors'], 1, 'not a LoRA for this network'],
  ])('%j is refused', async (args, exitCode, message) => {
    const { code, stderr } = await sample(...BASE, ...args);
    expect(code).toBe(exitCode);
    expect(stderr).toContain(message);
  });
});

test('a model of classes takes no prompts', async () => {
  const model = new URL('../../models/fashion/student.safetensors', import.meta.url).pathname;
  const { path } = (await promptSet(context)) as { path: string };
  const { code, stderr } = await sample('--model', model, '--prompts', path);
  expect(code).toBe(1);
  expect(stderr).toContain('takes no prompts');
});
