import { expect, test } from 'vitest';
import { selfTest } from '../../../src/trainer/runtime/self-test.ts';

test('the self test tells which library computed, with how many threads', async () => {
  const found = await selfTest('cpu');
  expect(found.version).toMatch(/^1\.\d+\.\d+$/);
  expect(found.library).toContain('onnxruntime');
  expect(found.threads).toBeGreaterThan(0);
  expect(found.runMs).toBeGreaterThan(0);
});

test('another device than that of the process is refused, not computed elsewhere', async () => {
  await selfTest('cpu');
  await expect(selfTest('webgpu')).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
});
