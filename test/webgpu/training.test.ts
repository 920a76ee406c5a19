/**
 * Distillation on WebGPU, with nothing left to the CPU: the same numbers as there. What is drawn at random comes from the
 * host on every device, so that it is the same by construction.
 */
import { describe, expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { NO_WEBGPU, type Training, type TrainingTask, trained } from './gpu.ts';

/** Relative to the values, or to 1 where they are less: losses are sums over a sample, of terms of the size of 100. */
const CURVE_TOLERANCE = 1e-4;
const SAMPLE_TOLERANCE = 1e-5;
const LOSSES = ['loss/online', 'loss/student', 'distance/student'];
const STEPS = 20;
const LONG = 70;
/** What the process may grow by in 60 steps: pages that are touched for the first time. A step's tensors are 1 MiB. */
const GROWTH_BYTES = 8 << 20;

const largestGap = (a: readonly number[], b: readonly number[]) =>
  Math.max(...b.map((x, i) => Math.abs(a[i]! - x)));

function expectSameCurve(got: Training, expected: Training): void {
  for (const [step, metrics] of expected.curve.entries()) {
    for (const name of LOSSES) {
      const [a, b] = [got.curve[step]![name]!, metrics[name]!];
      const gap = Math.abs(a - b) / Math.max(1, Math.abs(b));
      expect(gap, `${name} of step ${step}: ${a}, ${b}`).toBeLessThan(CURVE_TOLERANCE);
    }
  }
}

describe.skipIf(NO_WEBGPU)(`distillation on WebGPU${NO_WEBGPU ? `: ${NO_WEBGPU}` : ''}`, () => {
  const base: Omit<TrainingTask, 'device' | 'config'> = { steps: STEPS, rate: 1e-3 };

  test.each([{ config: 'dit-xs', classes: 3 }, { config: 'unet-xs' }] as const)(
    '$config: losses as on the CPU',
    async (form) => {
      const task = { ...base, ...form };
      const cpu = await trained({ ...task, device: 'cpu' });
      const webgpu = await trained({ ...task, device: 'webgpu' });
      expect(cpu.curve).toHaveLength(STEPS);
      expectSameCurve(webgpu, cpu);
      expect(largestGap(webgpu.teacher, cpu.teacher)).toBeLessThan(SAMPLE_TOLERANCE);
      expect(largestGap(webgpu.samples, cpu.samples)).toBeLessThan(CURVE_TOLERANCE);
      expect(webgpu.handles[2]).toBe(0);
    },
  );

  test('recorded, resumed and for long', async () => {
    const task = { ...base, device: 'webgpu', config: 'dit-xs' } as const;
    const recorded = await trained({ ...task, steps: LONG, resumeIn: await tempFolder() });
    const plain = await trained({ ...task, capture: false });
    expect(recorded.curve.slice(0, STEPS), 'recording changes nothing').toEqual(plain.curve);
    const [stopped, whole] = recorded.resumed!;
    expect(stopped, 'a run that was stopped ends where one that was not does').toBe(whole);
    const [before, after] = recorded.residentBytes;
    expect(after - before, 'memory does not grow').toBeLessThan(GROWTH_BYTES);
    expect(recorded.handles[1], 'handles do not grow').toBe(recorded.handles[0]);
  });
});
