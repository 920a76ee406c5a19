import { expect, test } from 'vitest';
import { deviceRates, rooflineOf } from '../../../src/trainer/run/roofline.ts';

test('shares are what a training does of what the device can', () => {
  const rates = { matmul_flops: 2e11, copy_bytes: 1e10 };
  const work = { flops: { iteration: 5e10, sample: 1 }, traffic: { iteration: 2e9 } };
  expect(rooflineOf(work, 500, rates)).toEqual({
    ...rates,
    flops: 5e10,
    bytes: 2e9,
    achieved_flops: 1e11,
    achieved_bytes: 4e9,
    share_of_matmul: 0.5,
    share_of_copy: 0.4,
  });
});

test("a processor's rates are of its order", async () => {
  const { matmul_flops, copy_bytes } = await deviceRates();
  // From one slow core to a large machine.
  expect(matmul_flops).toBeGreaterThan(1e9);
  expect(matmul_flops).toBeLessThan(1e14);
  expect(copy_bytes).toBeGreaterThan(1e8);
  expect(copy_bytes).toBeLessThan(1e13);
});
