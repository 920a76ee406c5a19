/** Samples that are taken out of a batch, as Latent From Batch does: the same pictures as in the batch. */
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { type FlowModel, studentSettings } from '../../src/trainer/run/model.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { float32, sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { TINY_DIT, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';
import { run } from './training-support.ts';

const SHAPE = [1, 4, 4];
const CLASSES = 3;

let context: ReturnType<typeof makeContext>;

beforeEach(async () => {
  context = makeContext(await makeRoots());
});

async function loaded(model: FlowModel): Promise<unknown> {
  await saveModel(join(context.roots.models, 'm.safetensors'), model);
  return (await run('FlowstepLoadModel', { file: 'm.safetensors' }, context)).outputs['model'];
}

interface Latent {
  readonly samples: Tensor<'float32'>;
  readonly batch_index?: readonly number[];
}

async function draw(
  node: string,
  inputs: object,
  count: number,
  places?: unknown,
): Promise<Latent> {
  const shape = [count, ...SHAPE];
  const samples = float32(new Float32Array(sizeOf(shape)), shape);
  const latent = { samples, ...(places !== undefined && { batch_index: places }) };
  const { outputs } = await run(node, { ...inputs, seed: 5, latent }, context);
  return outputs['latent'] as Latent;
}

const item = ({ samples }: Latent, i: number) => {
  const size = sizeOf(SHAPE);
  return Array.from(samples.data.slice(i * size, (i + 1) * size));
};

const network = { ...TINY_DIT, classes: CLASSES };
const student = (steps: number) =>
  tinyModel(network, studentSettings({ tStar: 0.9, cIn: 0.9, steps, transition: 'fresh' }));

test.each([
  ['a student', 'FlowstepOneStepSampler', () => student(1), {}],
  ['a student of two steps', 'FlowstepOneStepSampler', () => student(2), {}],
  ['a teacher', 'FlowstepTeacherSampler', () => tinyModel(network), { steps: 2 }],
])('%s draws what stood there in the batch, of the same class', async (_who, node, make, more) => {
  const inputs = { model: await loaded(make()), ...more };
  const all = await draw(node, inputs, 5);
  const taken = await draw(node, inputs, 3, [4, 1, 1]);
  expect([0, 1, 2].map((i) => item(taken, i))).toEqual([4, 1, 1].map((i) => item(all, i)));
  expect(taken.batch_index).toEqual([4, 1, 1]);
  expect(all).not.toHaveProperty('batch_index');
});

test.each([
  [[0], /1 noise indices for a latent of shape \[2/],
  [[0, -1], /batch_index/],
  [[0, 0.5], /batch_index/],
  [[0, 1e9], /batch_index/],
])('places %j of two samples are refused', async (places, message) => {
  const model = await loaded(student(1));
  await expect(draw('FlowstepOneStepSampler', { model }, 2, places)).rejects.toThrow(message);
});
