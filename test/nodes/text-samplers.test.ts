/** The samplers with text: a prompt, a prompt set, guidance, and latents of ComfyUI's kinds. */
import { beforeEach, describe, expect, test } from 'vitest';
import { openPromptSet } from '../../src/nodes/datasets.ts';
import { openModel } from '../../src/nodes/flow-models.ts';
import type { FlowModelHandle, FlowPromptsHandle } from '../../src/nodes/handles.ts';
import { latentOut } from '../../src/trainer/flow/sd3-latent.ts';
import { prepareNoise } from '../../src/trainer/random/torch-noise.ts';
import { conditionSource } from '../../src/trainer/run/conditions.ts';
import { sample } from '../../src/trainer/run/sample.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots } from './support.ts';
import { latents, loadBase, promptSet, putBase, texts } from './text-support.ts';
import { run } from './training-support.ts';

const FLOW = 'FlowstepTeacherSampler';

let context: ReturnType<typeof makeContext>;
let model: unknown;

beforeEach(async () => {
  context = makeContext(await makeRoots());
  await putBase(context);
  model = await loadBase(context);
});

const draw = (inputs: object = {}) => latents(context, model, { steps: 2, ...inputs }, FLOW);

test('a latent leaves as the decoder takes it, and the picture is blocked with a hint', async () => {
  const set = await openPromptSet((await promptSet(context)) as FlowPromptsHandle, context);
  const whole = await openModel(model as FlowModelHandle, context);
  const plain = await sample(whole, {
    solver: 'euler',
    steps: 2,
    noise: prepareNoise([2, 16, 8, 8], 3),
    ...(await conditionSource(whole.info.network, set).rows(Int32Array.of(0))),
  });
  expect((await draw()).data).toEqual(latentOut(plain.data));
  const { outputs, blocked } = await run(
    FLOW,
    { model, steps: 1, count: 1, conditioning: texts(1, 100) },
    context,
  );
  expect(outputs).not.toHaveProperty('image');
  expect(blocked).toEqual({ image: expect.stringContaining('VAE Decode') });
});

describe('the size', () => {
  const latent = (...shape: number[]) => ({
    latent: { samples: float32(new Float32Array(shape.reduce((a, b) => a * b)), shape) },
  });

  test.each([
    ['of Empty SD3 Latent Image', [3, 16, 4, 6]],
    ['of Empty Latent Image, while it is empty', [3, 4, 4, 6]],
  ])('is that %s', async (_title, shape) => {
    expect((await draw(latent(...shape))).shape).toEqual([3, 16, 4, 6]);
  });

  test('of a latent of another model is refused', async () => {
    const { latent: other } = latent(1, 4, 4, 4);
    other.samples.data[5] = 1;
    await expect(draw({ latent: other })).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  });

  test('past the position table is refused', async () => {
    await expect(draw(latent(1, 16, 10, 4))).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
      details: { field: 'latent' },
    });
  });
});

describe('prompts', () => {
  test('of a set are taken in turn, or by number', async () => {
    const prompts = await promptSet(context);
    const all = await draw({ conditioning: undefined, prompts, count: 4 });
    const second = await draw({ conditioning: undefined, prompts, count: 4, label: 1 });
    const size = all.data.length / 4;
    expect(second.data.slice(size, 2 * size)).toEqual(all.data.slice(size, 2 * size));
    expect(second.data.slice(0, size)).not.toEqual(all.data.slice(0, size));
    const one = await draw({ conditioning: texts(4, 100).slice(1, 2), count: 4 });
    expect(second.data).toEqual(one.data);
    await expect(draw({ conditioning: undefined, prompts, label: 4 })).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      details: { field: 'label' },
    });
  });

  test('guidance leads away from the negative text, which is zeros when left out', async () => {
    const zero = texts(1, 1).map(([text, { pooled_output: pooled }]) => [
      float32(new Float32Array(text.data.length), text.shape),
      { pooled_output: float32(new Float32Array(pooled!.data.length), pooled!.shape) },
    ]);
    const guided = await draw({ cfg: 3 });
    expect(guided.data).toEqual((await draw({ cfg: 3, negative: zero })).data);
    expect(guided.data).not.toEqual((await draw({ cfg: 3, negative: texts(1, 7) })).data);
    expect(guided.data).not.toEqual((await draw()).data);
  });

  test.each([
    ['no text', { conditioning: undefined }, 'WORKFLOW_INVALID', /takes text, and there is none/],
    ['two texts', { conditioning: texts(2, 1) }, 'SHAPE_MISMATCH', /2 texts, and a sample has one/],
    [
      'a text of another width',
      { conditioning: texts(1, 1, { width: 8 }) },
      'SHAPE_MISMATCH',
      /8 wide and pooled vectors 5, the network needs 6 and 5/,
    ],
  ])('%s is refused', async (_title, inputs, code, message) => {
    await expect(draw(inputs)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      details: { field: 'conditioning' },
    });
  });
});
