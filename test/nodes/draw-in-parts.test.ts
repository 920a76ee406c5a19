/** Samples that are drawn part by part are those of one draw. */
import { describe, expect, test } from 'vitest';
import { type DrawRequest, drawInParts, drawSamples } from '../../src/nodes/draw-samples.ts';
import { cachedBatch } from '../../src/trainer/nn/network.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { TINY_DIT, tinyModel, WIDE_MLP } from '../support/tiny-models.ts';
import { bitsOf } from '../support/training.ts';

/** Pictures of which 128 are drawn at once, in three classes. */
const PICTURES = { ...TINY_DIT, size: 16, width: 32 } as typeof TINY_DIT;

const teacher = tinyModel(PICTURES);
const fewSteps = { tStar: 0.97, cIn: 0.97, steps: 3, transition: 'fresh' as const };

async function partsOf(model: FlowModel, request: DrawRequest): Promise<Float32Array[]> {
  const parts: Float32Array[] = [];
  for await (const { data } of drawInParts(model, request)) parts.push(data);
  return parts;
}

describe.each<[string, FlowModel, DrawRequest]>([
  ['each class in turn', teacher, { solver: 'euler', steps: 2, seed: 5, count: 300 }],
  ['one class', teacher, { solver: 'heun', steps: 2, seed: 5, count: 129, label: 1 }],
  ['guidance', teacher, { solver: 'euler', steps: 1, seed: 5, count: 200, guidance: { scale: 3 } }],
  [
    'a student with fresh noise between its steps',
    tinyModel(WIDE_MLP, fewSteps),
    { solver: 'one-step', seed: 5, count: 2 * cachedBatch(WIDE_MLP) + 3 },
  ],
])('%s', (_, model, request) => {
  test('gives the bits of one draw, in several parts', async () => {
    const parts = await partsOf(model, request);
    const whole = await drawSamples(model, request);
    expect(parts.length).toBeGreaterThan(1);
    expect(bitsOf(Float32Array.from(parts.flatMap((part) => [...part])))).toEqual(
      bitsOf(whole.data),
    );
  });
});

test('nothing is drawn after it was stopped', async () => {
  const stop = new AbortController();
  const request = { solver: 'euler', steps: 1, seed: 5, count: 300 } as const;
  const drawing = (async () => {
    for await (const _ of drawInParts(teacher, request, stop.signal)) stop.abort();
  })();
  await expect(drawing).rejects.toMatchObject({ code: 'INTERRUPTED' });
});
