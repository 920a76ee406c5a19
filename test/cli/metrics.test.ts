/** `flowstep metrics`: numbers, names and cache of features in files, and what is refused. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';
import { goldenCases } from '../support/golden.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

interface FileOptions {
  readonly extractor?: string;
  readonly dim?: number;
  readonly count?: number;
  readonly logits?: boolean;
  readonly bad?: number;
}

function normals(count: number, dim: number, seed: number): Tensor {
  const data = new Float32Array(count * dim);
  fillNormal(data, seed, 907, 0);
  return float32(data, [count, dim]);
}

async function twoFiles(real: FileOptions, fake: FileOptions) {
  const folder = await tempFolder();
  const [realFile, fakeFile] = await Promise.all(
    [real, fake].map(async ({ extractor, dim = 6, count = 40, logits, bad }, seed) => {
      const file = join(folder, `${seed}.safetensors`);
      const features = normals(count, dim, seed);
      if (bad !== undefined) features.data[bad] = Number.NaN;
      const tensors = new Map([['features', features]]);
      if (logits) tensors.set('logits', normals(count, 4, 9));
      await writeSafetensors(file, tensors, extractor === undefined ? {} : { extractor });
      return file;
    }),
  );
  const output = join(folder, 'output');
  return {
    realFile: realFile!,
    fakeFile: fakeFile!,
    cache: join(output, 'cache', 'metrics'),
    call: (...args: string[]) =>
      callCli(['metrics', '--real', realFile!, '--fake', fakeFile!, ...args], {
        FLOWSTEP_OUTPUT: output,
      }),
  };
}

const AnswerSchema = z.object({
  ok: z.boolean(),
  extractor: z.string(),
  scores: z.array(z.object({ metric: z.string(), name: z.string(), value: z.number() })),
  notices: z.array(z.string()),
});

const answerOf = (stdout: string) => AnswerSchema.parse(JSON.parse(stdout));

test.each(goldenCases('metrics'))('--json gives the numbers of $name', async (golden) => {
  const { fid, prdc } = z
    .object({
      fid: z.object({ values: z.object({ 'own, symmetric eigenproblem': z.number() }) }),
      prdc: z.object({ precision: z.number(), recall: z.number(), coverage: z.number() }),
    })
    .parse(golden.sidecar);
  const tensors = await golden.tensors();
  const folder = await tempFolder();
  for (const name of ['real', 'fake']) {
    await writeSafetensors(
      join(folder, `${name}.safetensors`),
      new Map([['features', tensors.get(name)!]]),
    );
  }
  const args = ['real', 'fake'].flatMap((name) => [
    `--${name}`,
    join(folder, `${name}.safetensors`),
  ]);
  const { code, stdout } = await callCli(
    ['metrics', ...args, '--metrics', 'fid,precision,recall,coverage', '--json'],
    { FLOWSTEP_OUTPUT: folder },
  );
  expect(code).toBe(0);
  const values = Object.fromEntries(answerOf(stdout).scores.map((s) => [s.metric, s.value]));
  expect(values).toEqual({
    fid: expect.closeTo(fid.values['own, symmetric eigenproblem'], 6),
    precision: prdc.precision,
    recall: prdc.recall,
    coverage: prdc.coverage,
  });
});

test('people get a line for each metric, and notes beside them', async () => {
  const { call } = await twoFiles({ extractor: 'tiny' }, { extractor: 'tiny', logits: true });
  const { code, stdout, stderr } = await call();
  expect(code).toBe(0);
  const figure = '-?\\d+(?:\\.\\d+)?(?:e-?\\d+)?';
  expect(stdout.trimEnd().split('\n')).toEqual([
    expect.stringMatching(new RegExp(`^FID \\(tiny\\) +${figure}$`)),
    expect.stringMatching(new RegExp(`^KID \\(tiny\\) +${figure} \\+- ${figure}$`)),
    ...['precision', 'recall', 'density', 'coverage'].map((name) =>
      expect.stringMatching(new RegExp(`^${name} \\(tiny\\) +${figure}$`)),
    ),
    expect.stringMatching(new RegExp(`^Inception score \\(tiny\\) +${figure} \\+- ${figure}$`)),
  ]);
  expect(stderr).toBe('note: KID: subsets of 40 samples, not of 1000 as is usual\n');
});

describe('a name carries the extractor', () => {
  test.each([
    ['inception-2015-12-05', 'inception-2015-12-05', 'FID (inception-2015-12-05)', false],
    [undefined, undefined, 'FID (features)', false],
    ['a', 'b', 'FID (features)', true],
    ['a', undefined, 'FID (features)', true],
  ])('%s and %s', async (real, fake, name, isTold) => {
    const { call } = await twoFiles(
      real === undefined ? {} : { extractor: real },
      fake === undefined ? {} : { extractor: fake },
    );
    const { stdout } = await call('--metrics', 'fid', '--json');
    const { scores, notices } = answerOf(stdout);
    expect(scores.map((score) => score.name)).toEqual([name]);
    expect(notices.some((n) => n.includes('different feature spaces'))).toBe(isTold);
  });
});

test('statistics of the reals are kept by content, and give the same number', async () => {
  const { call, cache } = await twoFiles({}, {});
  const first = answerOf((await call('--metrics', 'fid', '--json')).stdout);
  const kept = await readdir(cache);
  expect(kept).toHaveLength(1);
  const second = answerOf((await call('--metrics', 'fid', '--json')).stdout);
  expect(second).toEqual(first);
  expect(await readdir(cache)).toEqual(kept);
});

describe('refuses', () => {
  test.each([
    ['features of other dimensions', { dim: 5 }, [], 'SHAPE_MISMATCH', 'has 6 numbers a sample'],
    ['NaN', { bad: 27 }, [], 'VALUE_OUT_OF_RANGE', 'holds NaN (sample 4, number 3)'],
    ['too few samples', { count: 3 }, [], 'VALUE_OUT_OF_RANGE', '3 samples are too few'],
    [
      'logits that are not there',
      {},
      ['--metrics', 'inception-score'],
      'SHAPE_MISMATCH',
      'no logits',
    ],
  ] as const)('%s', async (_, fake, args, code, message) => {
    const { call } = await twoFiles({}, fake);
    const result = await call(...args, '--json');
    expect(result.code).toBe(1);
    const { error } = z
      .object({ error: z.object({ code: z.string(), message: z.string(), hint: z.string() }) })
      .parse(JSON.parse(result.stdout));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  test('an unknown metric', async () => {
    const { call } = await twoFiles({}, {});
    const { code, stderr } = await call('--metrics', 'fid,fdd');
    expect(code).toBe(2);
    expect(stderr).toContain('"fdd" is not one of fid, kid,');
  });
});

describe('files of samples', () => {
  async function compare(shape: readonly number[], tensors = ['samples', 'samples']) {
    const folder = await tempFolder();
    const files = tensors.map((name, i) => [name, join(folder, `${i}.safetensors`)] as const);
    for (const [i, [name, file]] of files.entries()) {
      const data = normals(
        shape[0]!,
        shape.slice(1).reduce((a, b) => a * b, 1),
        i,
      ).data;
      const tensor = float32(Float32Array.from(data as Float32Array), shape);
      await writeSafetensors(file, new Map([[name, tensor]]));
    }
    const [real, fake] = files.map(([, file]) => file);
    const args = ['metrics', '--real', real!, '--fake', fake!, '--json'];
    return JSON.parse((await callCli(args, { FLOWSTEP_OUTPUT: folder })).stdout);
  }

  test('of points are compared as they are', async () => {
    const { ok, extractor, scores, notices } = await compare([40, 2]);
    expect({ ok, extractor }).toEqual({ ok: true, extractor: 'samples' });
    expect(scores.map(({ name }: { name: string }) => name)).toContain('energy distance (samples)');
    expect(notices).toEqual(['KID: subsets of 40 samples, not of 1000 as is usual']);
  });

  test('beside a file of features are told', async () => {
    const { notices } = await compare([40, 2], ['features', 'samples']);
    expect(notices).toContainEqual(expect.stringContaining('one file holds features'));
  });

  test('of pictures are refused with what to do instead', async () => {
    const { error } = await compare([4, 1, 3, 3]);
    expect(error).toMatchObject({
      code: 'SHAPE_MISMATCH',
      message: expect.stringContaining('holds samples of [1, 3, 3]'),
      hint: expect.stringContaining('flowstep eval'),
    });
  });
});
