import { expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { BENCH_STUDENT, benchTeacher } from '../../../src/trainer/run/bench-jobs.ts';
import type { DistillJob } from '../../../src/trainer/run/distill-job.ts';
import { memoryAdvice, withMemoryAdvice } from '../../../src/trainer/run/memory-advice.ts';

const DENSITY = { kind: 'uniform', min: 0, max: 1 } as const;
const DIT = NetworkConfigSchema.parse({
  ...{ kind: 'dit', size: 32, channels: 3, patch: 4, width: 128, depth: 4, heads: 4 },
});

const JOB: DistillJob = {
  teacher: benchTeacher(DIT),
  online: { init: 'teacher', updates: 1, learningRate: 1, density: DENSITY },
  ...{ lambda1: 1, weight: 'velocity', student: BENCH_STUDENT, steps: 1, batch: 64 },
  ...{ learningRate: 1, warmup: 0, schedule: 'constant', emaDecay: 0, clipNorm: 0, clipValue: 0 },
  ...{ density: DENSITY, seed: 0 },
};

test('the figures of the plan, and of what takes less', () => {
  const advice = memoryAdvice(JOB);
  const [, peak, recompute, lora] =
    /takes about ([\d.]+) GiB\..* recompute ([\d.]+) GiB, a LoRA of rank 16 ([\d.]+) GiB/.exec(
      advice,
    ) ?? [];
  expect(Number(recompute)).toBeLessThan(Number(peak));
  expect(Number(lora)).toBeLessThan(Number(peak));
  // On the processor a batch is worked off in parts, so half of it takes as much.
  expect(advice).not.toContain('batch 32');
});

test('what is done already is not advised', () => {
  const advice = memoryAdvice({ ...JOB, batch: 1, recompute: true });
  expect(advice).toContain('a LoRA of rank 16');
  expect(advice).not.toMatch(/recompute|batch/);
});

test('running out of memory gets the advice, on the device and on the host', async () => {
  const expected = { code: 'OUT_OF_MEMORY', hint: expect.stringContaining('Instead: ') };
  const device = withMemoryAdvice(JOB, async () => {
    throw new FlowstepError('OUT_OF_MEMORY', 'no room', { hint: 'x' });
  });
  await expect(device).rejects.toMatchObject({ ...expected, message: 'no room' });
  const host = withMemoryAdvice(JOB, async () => new Float32Array(2 ** 50));
  await expect(host).rejects.toMatchObject(expected);
});

test('other failures, and results, pass', async () => {
  expect(await withMemoryAdvice(JOB, async () => 5)).toBe(5);
  const other = new FlowstepError('ENGINE', 'x');
  await expect(
    withMemoryAdvice(JOB, async () => {
      throw other;
    }),
  ).rejects.toBe(other);
});
