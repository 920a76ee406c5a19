import { expect, test } from 'vitest';
import { DeviceTensors } from '../../../src/trainer/runtime/device-tensors.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

test('on the CPU tensors are where they were, and copying them does nothing', async () => {
  const on = engine({ device: 'cpu' });
  const before = on.liveTensors;
  const host = [float32(Float32Array.of(1, 2), [2]), float32(Float32Array.of(3), [])];
  using placed = new DeviceTensors(host);
  expect(placed.tensors).toBe(host);
  await placed.upload();
  host[0]!.data.fill(5);
  await placed.download();
  expect(placed.tensors.map(({ data }) => [...data])).toEqual([[5, 5], [3]]);
  expect(on.liveTensors).toBe(before);
  expect(on.memory).toBeUndefined();
});
