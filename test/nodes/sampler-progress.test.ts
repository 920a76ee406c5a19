/** What the samplers tell while they work: a teacher of fifty steps is no quick thing. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cachedBatch } from '../../src/trainer/nn/network.ts';
import { studentSettings } from '../../src/trainer/run/model.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { TINY_DIT, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';
import { run } from './training-support.ts';

test.each([
  ['FlowstepTeacherSampler', tinyModel(TINY_DIT), { steps: 5 }, 5],
  ['FlowstepOneStepSampler', tinyModel(TINY_DIT, studentSettings({ tStar: 0.9, cIn: 0.9 })), {}, 1],
])('%s tells each step, of all batches', async (node, model, inputs, steps) => {
  const context = makeContext(await makeRoots());
  await saveModel(join(context.roots.models, 'm.safetensors'), model);
  const { outputs } = await run('FlowstepLoadModel', { file: 'm.safetensors' }, context);
  const draw = { model: outputs['model'], seed: 1, count: cachedBatch(TINY_DIT) + 1, ...inputs };
  await run(node, draw, context);
  // So many do not fit into one batch.
  const total = 2 * steps;
  expect(context.events.map(({ step }) => step)).toEqual(
    Array.from({ length: total }, (_, i) => i + 1),
  );
  expect(context.events.at(-1)).toMatchObject({ steps: total, etaSeconds: 0 });
});
