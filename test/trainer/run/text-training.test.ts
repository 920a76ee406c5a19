import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { openPrompts, type PromptSet, writePrompts } from '../../../src/trainer/data/prompts.ts';
import type { Guidance } from '../../../src/trainer/flow/guidance.ts';
import { sampleShape } from '../../../src/trainer/nn/config.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { views } from '../../../src/trainer/nn/parameters.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { type FlowModel, studentSettings } from '../../../src/trainer/run/model.ts';
import { Sampler, sample } from '../../../src/trainer/run/sample.ts';
import { float32, sizeOf } from '../../../src/trainer/tensor.ts';
import { normals, smallMmdit } from '../../support/small-mmdit.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { noiseOf, TINY_DIT, tinyModel } from '../../support/tiny-models.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL, trainTeacher } from '../../support/training.ts';

const NETWORK = smallMmdit({ depth: 1 });
const [TOKENS, CONTEXT, POOLED, COUNT] = [3, NETWORK.contextWidth, NETWORK.pooledWidth, 4];
const SHAPE = sampleShape(NETWORK);
const TEACHER = tinyModel(NETWORK);
const STUDENT = studentSettings({ tStar: 1, cIn: 1 });

const embeddings = (count: number, seed: number) => ({
  context: float32(normals(count * TOKENS * CONTEXT, seed), [count, TOKENS, CONTEXT]),
  pooled: float32(normals(count * POOLED, seed + 1), [count, POOLED]),
});

async function promptSet(withEmpty = true): Promise<PromptSet> {
  const path = join(await tempFolder(), 'prompts.safetensors');
  await writePrompts(path, embeddings(COUNT, 20), withEmpty ? embeddings(1, 30) : undefined);
  return openPrompts('prompts', path);
}

function samplesOf(model: FlowModel, request: object = {}) {
  const solver = model.info.student ? ('one-step' as const) : ('euler' as const);
  const steps = model.info.student ? {} : { steps: 2 };
  return sample(model, { solver, ...steps, noise: noiseOf([2, ...SHAPE]), ...request });
}

test('a network of text learns from data whose classes are prompts', async () => {
  const prompts = await promptSet();
  const size = sizeOf(SHAPE);
  const dataset: Dataset = {
    name: 'four',
    shape: SHAPE,
    classes: COUNT,
    hash: '4',
    batch: (seed, step, count) => ({
      x: normals(count * size, seed + step),
      labels: Int32Array.from({ length: count }, (_, i) => i % COUNT),
    }),
  };
  const { student: _student, teacher: _teacher, online: _online, ...loop } = TINY_DISTILL;
  const job = { ...loop, steps: 12, batch: 4, dataset, network: NETWORK, prompts };
  const { steps, result } = await runToEnd(trainTeacher(job));
  const losses = steps.map(({ metrics }) => metrics['loss/teacher']!);
  expect(losses.every(Number.isFinite)).toBe(true);
  expect(result.teacher.info.training).toMatchObject({ prompts: { hash: prompts.hash } });
  expect(() => new Distiller({ ...TINY_DISTILL, teacher: result.teacher })).toThrow(
    /takes text, and there are no prompts/,
  );
});

describe('distillation of a network of text', () => {
  const job = { ...TINY_DISTILL, teacher: TEACHER, student: STUDENT, batch: 4, steps: 4 };

  test('each step draws prompts, and the same seed gives the same student', async () => {
    const prompts = await promptSet();
    const guidance = { teacher: 4, online: 1 };
    const first = await runToEnd(distill({ ...job, prompts, guidance }));
    const second = await runToEnd(distill({ ...job, prompts, guidance }));
    expect(first.result.outcome.kind).toBe('finished');
    const [a, b] = [first.result.student.parameters, second.result.student.parameters];
    expect(bitsOf(a)).toEqual(bitsOf(b));
    const other = await runToEnd(distill({ ...job, prompts: await promptSet(false), guidance }));
    expect(bitsOf(other.result.student.parameters)).not.toEqual(bitsOf(a));
  });

  test('guidance of teacher and online flow each change the first update', async () => {
    const prompts = await promptSet();
    const lossesOf = async (guidance?: { teacher: number; online: number }) => {
      const { steps } = await runToEnd(
        distill({ ...job, steps: 1, prompts, ...(guidance && { guidance }) }),
      );
      const { 'time/step_ms': _time, ...losses } = steps[0]!.metrics;
      return losses;
    };
    const plain = await lossesOf();
    expect(await lossesOf({ teacher: 1, online: 1 })).toEqual(plain);
    const guided = await lossesOf({ teacher: 4, online: 1 });
    expect(guided['loss/online']).toBe(plain['loss/online']);
    expect(guided['distance/student']).toBeGreaterThan(plain['distance/student']! + 1e-3);
    const both = await lossesOf({ teacher: 4, online: 4 });
    expect(both['loss/online']).not.toBe(plain['loss/online']);
    // Online and teacher are one network under one guidance before the first update.
    expect(both['distance/student']).toBeLessThan(guided['distance/student']!);
  });
});

describe('adapters on one side alone', () => {
  const LORA = { rank: 2, alpha: 2, targets: ['qkv', 'proj', 'fc1', 'fc2'] };
  const positions = ({ parameters }: FlowModel) =>
    views(parameterList(NETWORK), parameters).get('pos_embed')!.data;

  test.each([
    ['the student has them', { lora: LORA }],
    ['the online flow has them', { online: { ...TINY_DISTILL.online, lora: LORA } }],
  ])(
    '%s: what is fixed in the other stays, and a resumed run has the same bits',
    async (_who, sides) => {
      const job = {
        ...TINY_DISTILL,
        teacher: TEACHER,
        student: STUDENT,
        batch: 4,
        steps: 6,
        ...sides,
      };
      const whole = { ...job, prompts: await promptSet() };
      const { student, online } = (await runToEnd(distill(whole))).result;
      expect(positions(student)).toEqual(positions(TEACHER));
      expect(positions(online)).toEqual(positions(TEACHER));

      const stop = new AbortController();
      const folder = join(await tempFolder(), 'run');
      const run = {
        ...{ folder, resume: 'auto' as const, checkpointEvery: 0, keepCheckpoints: 1 },
        sampleEvery: 0,
      };
      await runToEnd(distill(whole, { run, signal: stop.signal }), ({ step }) => {
        if (step === 3) stop.abort();
      });
      const resumed = (await runToEnd(distill(whole, { run }))).result;
      const bits = ({ parameters, adapters }: FlowModel) =>
        [parameters, ...(adapters ? [adapters.parameters] : [])].map(bitsOf);
      expect([resumed.student, resumed.online].map(bits)).toEqual([student, online].map(bits));
    },
  );
});

describe('samples of a network of text', () => {
  let texts: ReturnType<typeof embeddings>;
  beforeAll(() => {
    texts = embeddings(2, 40);
  });

  test('one text for all samples is that text for each', async () => {
    const one = embeddings(1, 50);
    const twice = {
      context: float32(Float32Array.of(...one.context.data, ...one.context.data), [
        2,
        TOKENS,
        CONTEXT,
      ]),
      pooled: float32(Float32Array.of(...one.pooled.data, ...one.pooled.data), [2, POOLED]),
    };
    expect((await samplesOf(TEACHER, { text: one })).data).toEqual(
      (await samplesOf(TEACHER, { text: twice })).data,
    );
  });

  test('guidance goes from the negative text through the text and beyond', async () => {
    const negative = { text: embeddings(1, 60) };
    const at = async (scale: number) => {
      const guidance = { scale, negative };
      return (await samplesOf(TEACHER, { steps: 1, text: texts, guidance })).data;
    };
    const none = (await samplesOf(TEACHER, { steps: 1, ...negative })).data;
    const plain = (await samplesOf(TEACHER, { steps: 1, text: texts })).data;
    const guided = await at(3);
    for (const [i, x] of guided.entries()) {
      expect(x).toBeCloseTo(none[i]! + 3 * (plain[i]! - none[i]!), 4);
    }
    expect(await at(1)).toEqual(plain);
  });

  test('texts of another length than the negative one are taken as they are', async () => {
    const short = {
      context: float32(normals(CONTEXT, 70), [1, 1, CONTEXT]),
      pooled: float32(normals(POOLED, 71), [1, POOLED]),
    };
    const guidance = { scale: 2, negative: { text: short } };
    const { data } = await samplesOf(TEACHER, { text: texts, guidance });
    expect(data.every(Number.isFinite)).toBe(true);
  });

  test.each([
    ['no text', {}, 'takes text, and there is none'],
    [
      'too wide a text',
      { text: { ...embeddings(2, 1), pooled: float32(new Float32Array(2), [2, 1]) } },
      'pooled vectors 1, the network needs 7 and 5',
    ],
    ['three texts for two samples', { text: embeddings(3, 1) }, '3 texts'],
  ])('%s is refused', async (_title, request, message) => {
    await expect(samplesOf(TEACHER, request)).rejects.toThrow(message);
  });

  test('a network of classes takes no text', async () => {
    const noise = noiseOf([1, 1, 4, 4]);
    const request = { solver: 'euler' as const, steps: 1, noise, text: embeddings(1, 1) };
    await expect(sample(tinyModel(TINY_DIT), request)).rejects.toThrow('takes no text');
  });
});

test('guidance of classes leads away from no class', async () => {
  const model = tinyModel(TINY_DIT);
  const noise = noiseOf([1, 1, 4, 4]);
  const request = { solver: 'euler' as const, steps: 1, noise };
  const at = async (more: object) => (await sample(model, { ...request, ...more })).data;
  const [none, plain] = [await at({}), await at({ labels: Int32Array.of(1) })];
  const guided = await at({ labels: Int32Array.of(1), guidance: { scale: 2 } });
  for (const [i, x] of guided.entries()) expect(x).toBeCloseTo(2 * plain[i]! - none[i]!, 4);
});

test('a sampler is guided at steps from times up to the latest', async () => {
  const model = tinyModel(TINY_DIT);
  const request = { solver: 'euler' as const, labels: Int32Array.of(1) };
  const noise = noiseOf([1, 1, 4, 4]);
  const at = async (steps: number, latest?: number) =>
    (await sample(model, { ...request, steps, noise, guidance: { scale: 3, latest } })).data;
  const plain = (await sample(model, { ...request, steps: 2, noise })).data;
  const later = await at(2, 0.5);
  expect(await at(2, 0.4)).toEqual(plain);
  expect(await at(2, 1)).toEqual(await at(2));
  expect(later).not.toEqual(plain);
  expect(later).not.toEqual(await at(2));
});

test('a step of Heun is guided at the end that is in time for it', async () => {
  const model = tinyModel(TINY_DIT);
  const labels = Int32Array.of(1);
  const noise = noiseOf([1, 1, 4, 4]);
  const halfway = async (latest?: number) => {
    const form = latest === undefined ? {} : { guidance: { scale: 3, latest } };
    const sampler = new Sampler(model, 'heun', 1, form);
    const x = noise.data.slice();
    // The last step is Euler's, and has no length here.
    const strides = [
      { t: 1, dt: 0.5 },
      { t: 0.5, dt: 0 },
    ];
    await sampler.integrate(x, strides, { labels });
    sampler.dispose();
    return x;
  };
  const [plain, atEnd, atBoth] = [await halfway(), await halfway(0.5), await halfway(1)];
  expect(await halfway(0.4)).toEqual(plain);
  expect(await halfway(0.7)).toEqual(atEnd);
  expect(atEnd).not.toEqual(plain);
  expect(atEnd).not.toEqual(atBoth);
});

describe('a student under guidance up to a latest time', () => {
  const samplesUnder = async (steps: number, tStar: number, guidance?: Guidance) => {
    const model = tinyModel(TINY_DIT, { tStar, cIn: 1, steps });
    const noise = noiseOf([1, 1, 4, 4]);
    const request = { solver: 'one-step' as const, labels: Int32Array.of(1), noise };
    return (await sample(model, { ...request, ...(guidance && { guidance }) })).data;
  };

  test('of one step: is guided when its own time is in time', async () => {
    const everywhere = await samplesUnder(1, 0.9, { scale: 3 });
    expect(await samplesUnder(1, 0.9, { scale: 3, latest: 0.95 })).toEqual(everywhere);
    const plain = await samplesUnder(1, 0.9);
    const late = await samplesUnder(1, 0.9, { scale: 3, latest: 0.5 });
    for (const [i, x] of late.entries()) expect(x).toBeCloseTo(plain[i]!, 5);
    expect(late).not.toEqual(everywhere);
  });

  test('of two steps: is guided at those in time', async () => {
    const [plain, everywhere] = [await samplesUnder(2, 1), await samplesUnder(2, 1, { scale: 3 })];
    const second = await samplesUnder(2, 1, { scale: 3, latest: 0.75 });
    expect(second).not.toEqual(plain);
    expect(second).not.toEqual(everywhere);
    expect(await samplesUnder(2, 1, { scale: 3, latest: 0.1 })).toEqual(plain);
  });
});
