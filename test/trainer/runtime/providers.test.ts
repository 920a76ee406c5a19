import { expect, test } from 'vitest';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { computeOptions, providersOf } from '../../../src/trainer/runtime/providers.ts';

test('a library tells the providers that it was built with', () => {
  expect(providersOf(engine().api)).toContain('CPUExecutionProvider');
});

test("settings become an engine's options, and on CUDA its provider's", () => {
  const tf32 = (value: string) => ({ use_tf32: value });
  expect(computeOptions('cuda', {})).toEqual({
    precision: 'float32',
    providerOptions: tf32('0'),
  });
  expect(computeOptions('cuda', { precision: 'tf32', memoryLimit: 1.5 * 2 ** 30 })).toEqual({
    precision: 'float32',
    providerOptions: { ...tf32('1'), gpu_mem_limit: '1610612736' },
  });
  expect(computeOptions('cuda', { precision: 'bf16' }).precision).toBe('bfloat16');
  expect(computeOptions('cpu', { precision: 'fp16' })).toEqual({
    precision: 'float16',
    providerOptions: {},
  });
});

test('what a device does not have is refused, with what it has', () => {
  expect(() => computeOptions('webgpu', { precision: 'tf32' })).toThrow(
    expect.objectContaining({ code: 'USAGE', hint: 'Take fp32, or --device cuda.' }),
  );
  expect(() => computeOptions('cpu', { precision: 'bf16' })).toThrow(/bf16 is not for cpu/);
  expect(() => computeOptions('cpu', { memoryLimit: 1 })).toThrow(/--gpu-memory is for CUDA/);
});
