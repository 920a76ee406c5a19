/** Normal numbers of PyTorch and initial noise of ComfyUI for given seeds. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { prepareNoise, TorchGenerator } from '../../../src/trainer/random/torch-noise.ts';
import { sizeOf, type Tensor } from '../../../src/trainer/tensor.ts';
import { goldenCases } from '../../support/golden.ts';

const SidecarSchema = z.object({
  randn: z.array(z.object({ tensor: z.string(), seed: z.string(), shape: z.array(z.number()) })),
  sequence: z.object({ seed: z.string() }),
  prepare_noise: z.object({
    cases: z.array(
      z.object({
        tensor: z.string(),
        latent_shape: z.array(z.number()),
        seed: z.string(),
        noise_inds: z.array(z.number()).nullable(),
      }),
    ),
  }),
});

/** PyTorch's own results for draws of 16 and more differ by this much between processors. */
const BLOCK_TOLERANCE = 2e-6;

/** Below 16 numbers PyTorch is exact; `drawn` is how many it drew at once. */
function expectNoise(got: Float32Array, expected: Tensor, drawn: number): void {
  if (drawn < 16) {
    expect(got).toEqual(expected.data);
    return;
  }
  expect(got.length).toBe(expected.data.length);
  const gap = got.reduce((max, v, i) => Math.max(max, Math.abs(v - Number(expected.data[i]))), 0);
  expect(gap).toBeLessThanOrEqual(BLOCK_TOLERANCE);
}

describe.each(goldenCases('torch-noise'))('$name', (golden) => {
  const sidecar = SidecarSchema.parse(golden.sidecar);

  test.each(sidecar.randn)('$tensor: seed $seed, shape $shape', async ({ tensor, seed, shape }) => {
    const expected = (await golden.tensors()).get(tensor)!;
    expect(expected.shape).toEqual(shape);
    expectNoise(new TorchGenerator(seed).randn(sizeOf(shape)), expected, sizeOf(shape));
  });

  test('sequence: one generator, several draws', async () => {
    const tensors = await golden.tensors();
    const generator = new TorchGenerator(sidecar.sequence.seed);
    let calls = 0;
    for (; tensors.has(`sequence.${calls}`); calls++) {
      const expected = tensors.get(`sequence.${calls}`)!;
      const count = sizeOf(expected.shape);
      expectNoise(generator.randn(count), expected, count);
    }
    expect(calls).toBeGreaterThan(1);
  });

  test.each(sidecar.prepare_noise.cases)(
    '$tensor: latent $latent_shape, seed $seed, indices $noise_inds',
    async ({ tensor, latent_shape, seed, noise_inds }) => {
      const expected = (await golden.tensors()).get(tensor)!;
      const got = prepareNoise(latent_shape, seed, noise_inds ?? undefined);
      expect(got.shape).toEqual(expected.shape);
      const drawn = sizeOf(noise_inds ? latent_shape.slice(1) : latent_shape);
      expectNoise(got.data, expected, drawn);
    },
  );
});
