/** `auto`: which device is taken, and what is said. */
import { expect, test } from 'vitest';
import { FlowstepError } from '../../src/errors.ts';
import { chooseDevice } from '../../src/host/choose-device.ts';
import type { DeviceTrial } from '../../src/trainer/run/device-trial.ts';
import type { Device } from '../../src/trainer/runtime/library.ts';

const trial = (productMs: number, figures: readonly number[] = [3, 2.5]): DeviceTrial => ({
  ...{ library: '/lib/ort.so', version: '1.30.0', threads: 2, providers: [], runMs: 1 },
  productMs,
  figures,
});

const CPU = trial(12);

/** Chooses among devices; those that are not named cannot be used. */
async function choose(devices: Partial<Record<Device, DeviceTrial>>) {
  const tried: Device[] = [];
  const choice = await chooseDevice(async (device) => {
    tried.push(device);
    const found = { cpu: CPU, ...devices }[device];
    if (found) return found;
    throw new FlowstepError('DEVICE_UNAVAILABLE', `no ${device} here`);
  });
  return { ...choice, tried };
}

test('cuda comes before webgpu, and is not tried twice', async () => {
  expect(await choose({ cuda: trial(0.1), webgpu: trial(0.1) })).toEqual({
    device: 'cuda',
    why: 'cuda multiplies 120 times as fast as cpu',
    tried: ['cuda', 'cpu'],
  });
});

test('webgpu comes next, and it is said why not cuda', async () => {
  expect(await choose({ webgpu: trial(4) })).toMatchObject({
    device: 'webgpu',
    why: 'cuda: no cuda here; webgpu multiplies 3.0 times as fast as cpu',
  });
});

test('without graphics cards it is cpu, which is not even tried', async () => {
  expect(await choose({})).toEqual({
    device: 'cpu',
    why: 'cuda: no cuda here; webgpu: no webgpu here',
    tried: ['cuda', 'webgpu'],
  });
});

test('a driver that computes on the processor is no gain', async () => {
  expect(await choose({ webgpu: trial(330) })).toMatchObject({
    device: 'cpu',
    why: 'cuda: no cuda here; webgpu takes 330 ms for a product, cpu 12',
  });
});

test.each([
  ['another loss', [3, 2.53]],
  ['no number', [3, Number.NaN]],
  ['fewer steps', [3]],
])('a device that trains wrong is not taken: %s', async (_, figures) => {
  const { device, why } = await choose({ cuda: trial(0.1, figures) });
  expect(device).toBe('cpu');
  expect(why).toContain('cuda trains wrong');
});

test('rounding is not wrong', async () => {
  const { device } = await choose({ cuda: trial(0.1, [3.001, 2.499]) });
  expect(device).toBe('cuda');
});
