/** Samples to measure are those of the solvers, from noise that is numbered, under each condition in turn. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openPrompts, type PromptSet, writePrompts } from '../../../src/trainer/data/prompts.ts';
import {
  MeasuredSampler,
  networkEvaluations,
  type SamplingOptions,
} from '../../../src/trainer/metrics/measured-sampler.ts';
import { sampleShape } from '../../../src/trainer/nn/config.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';
import { STREAMS } from '../../../src/trainer/random/streams.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { float32, sizeOf } from '../../../src/trainer/tensor.ts';
import { normals, smallMmdit } from '../../support/small-mmdit.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

function noise({ info }: FlowModel, count: number, draw: number) {
  const shape = [count, ...sampleShape(info.network)];
  const data = new Float32Array(sizeOf(shape));
  fillNormal(data, 7, STREAMS.evaluation, draw);
  return float32(data, shape);
}

/** Of prompts of three tokens. */
function embeddings(count: number) {
  const context = float32(new Float32Array(count * 3 * 7), [count, 3, 7]);
  return { context, pooled: float32(new Float32Array(count * 5), [count, 5]) };
}

/** Three samples that follow after four others. */
async function part(model: FlowModel, options: Omit<SamplingOptions, 'seed'>) {
  using sampler = new MeasuredSampler(model, { ...options, seed: 7 }, 3, 7);
  return await sampler.part(4, 3, (transition) => 10 + transition, undefined);
}

describe('samples', () => {
  test('are of each class in turn, guided away from none', async () => {
    const model = tinyModel(TINY_DIT);
    const request = { solver: 'heun', steps: 3, noise: noise(model, 3, 10) } as const;
    const labels = Int32Array.of(1, 2, 0);
    const plain = await sample(model, { ...request, labels });
    const guided = await sample(model, { ...request, labels, guidance: { scale: 3 } });
    expect(await part(model, { solver: 'heun', steps: 3 })).toEqual(plain.data);
    expect(await part(model, { solver: 'heun', steps: 3, guidance: { scale: 3 } })).toEqual(
      guided.data,
    );
    expect(guided.data).not.toEqual(plain.data);
  });

  test('of models that take text are of each prompt in turn', async () => {
    const file = join(await tempFolder(), 'prompts.safetensors');
    const context = float32(normals(2 * 3 * 7, 21), [2, 3, 7]);
    await writePrompts(file, { context, pooled: float32(normals(2 * 5, 22), [2, 5]) });
    const prompts = await openPrompts('prompts', file);
    const model = tinyModel(smallMmdit());
    const text = await prompts.rows(Int32Array.of(0, 1, 0));
    const request = { solver: 'euler', steps: 2, noise: noise(model, 3, 10), text } as const;
    const guidance = { scale: 2, negative: { text: prompts.empty } };
    expect(await part(model, { steps: 2, prompts })).toEqual((await sample(model, request)).data);
    expect(await part(model, { steps: 2, prompts, guidance: { scale: 2 } })).toEqual(
      (await sample(model, { ...request, guidance })).data,
    );
    expect(() => new MeasuredSampler(model, { seed: 7 }, 3, 3)).toThrow(/there are no prompts/);
  });

  test('are of prompts of the whole file, where it has more than are asked for', async () => {
    const model = tinyModel(smallMmdit());
    const read: number[] = [];
    const prompts: PromptSet = {
      ...{ name: 'prompts', hash: '', count: 90, tokens: 3, contextWidth: 7, pooledWidth: 5 },
      empty: embeddings(1),
      rows: async (choices) => {
        read.push(...choices);
        return embeddings(choices.length);
      },
    };
    using sampler = new MeasuredSampler(model, { steps: 1, seed: 7, prompts }, 3, 6);
    await sampler.part(0, 3, () => 0, undefined);
    await sampler.part(3, 3, () => 1, undefined);
    expect(read.map((prompt) => Math.floor(prompt / 15))).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('of students with several steps have numbered fresh noise', async () => {
    const student = tinyModel(TINY_MLP, { tStar: 1, cIn: 1, steps: 3, transition: 'fresh' });
    const [start, ...freshNoise] = [10, 11, 12].map((draw) => noise(student, 3, draw));
    const wanted = await sample(student, { solver: 'one-step', noise: start!, freshNoise });
    expect(await part(student, {})).toEqual(wanted.data);
  });
});

test.each([
  ['euler', 50, 1, 50],
  ['heun', 50, 1, 99],
  ['heun', 1, 1, 1],
  ['euler', 4, 2, 8],
] as const)(
  '%s of %i steps at guidance %d evaluates the network %i times',
  (solver, steps, scale, nfe) => {
    const guidance = { scale };
    expect(networkEvaluations(tinyModel(TINY_MLP), { solver, steps, guidance })).toBe(nfe);
  },
);

test('a student evaluates it once a step of its own, whatever the guidance', () => {
  const student = tinyModel(TINY_MLP, { tStar: 1, cIn: 1, steps: 3 });
  expect(networkEvaluations(student, { guidance: { scale: 4 } })).toBe(3);
});
