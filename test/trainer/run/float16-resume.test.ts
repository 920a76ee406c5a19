/** Runs in float16 that are stopped and go on: the scales of their losses go on too, and the count of what was skipped. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { LossScale } from '../../../src/trainer/optim/loss-scale.ts';
import { CHECKPOINT_KEY } from '../../../src/trainer/run/checkpoint.ts';
import type { DistillJob } from '../../../src/trainer/run/distill-job.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

engine({ threads: 1, precision: 'float16' });

const { teacher } = TINY_DISTILL;
/** So large that gradients overflow until their scale has come down. */
const parameters = teacher.parameters.map((_, i) => 2 * Math.sin(12.9898 * i));
const job: DistillJob = { ...TINY_DISTILL, teacher: { ...teacher, parameters }, steps: 12 };
const STOP = 6;
const FIRST = new LossScale().value[0]!;

/** Runs until step `stop` is done, or to the end; gives the vectors and bytes of the checkpoint. */
async function run(folder: string, stop = job.steps) {
  const abort = new AbortController();
  const { events } = await runToEnd(
    distill(job, {
      run: { folder, resume: 'auto', checkpointEvery: 0, keepCheckpoints: 2, sampleEvery: 0 },
      signal: abort.signal,
    }),
    ({ step }) => step === stop && abort.abort(),
  );
  const [file] = events.flatMap((event) => (event.kind === 'checkpoint' ? [event.file] : []));
  const { tensors, metadata } = await readSafetensors(file!);
  const scaleOf = (name: string) =>
    Array.from(tensors.get(`${name}/loss-scale`)?.data ?? [], Number);
  const skippedBy = (name: string) => Number(tensors.get(`${name}/skipped-updates`)?.data[0]);
  return { file: file!, tensors, metadata, bytes: await readFile(file!), scaleOf, skippedBy };
}

test('a run that is stopped after its scale has changed has the bits of one that is not', async () => {
  const root = await tempFolder();
  const whole = await run(join(root, 'whole'));
  const half = await run(join(root, 'parts'), STOP);
  const [scale, kept] = half.scaleOf('online-0');
  expect(scale).toBeLessThan(FIRST);
  expect(kept).toBeGreaterThan(0);
  expect(half.skippedBy('online-0')).toBe(Math.log2(FIRST / scale!));
  const parts = await run(join(root, 'parts'));
  expect(parts.bytes.equals(whole.bytes)).toBe(true);
});

test('a checkpoint that does not tell what was skipped is gone on with as if nothing had been', async () => {
  const folder = join(await tempFolder(), 'old');
  const { file, tensors, metadata, skippedBy } = await run(folder, STOP);
  expect(skippedBy('online-0')).toBeGreaterThan(0);
  const old = new Map([...tensors].filter(([name]) => !name.endsWith('/skipped-updates')));
  await writeSafetensors(file, old, { [CHECKPOINT_KEY]: metadata[CHECKPOINT_KEY]! });
  const gone = await run(folder);
  expect(gone.tensors.size).toBe(tensors.size);
  expect(gone.skippedBy('online-0')).toBe(0);
});

test('a checkpoint without scales is gone on with, from the first scale', async () => {
  const folder = join(await tempFolder(), 'old');
  const { file, tensors, metadata } = await run(folder, STOP);
  const old = new Map([...tensors].filter(([name]) => !name.endsWith('/loss-scale')));
  await writeSafetensors(file, old, { [CHECKPOINT_KEY]: metadata[CHECKPOINT_KEY]! });
  const gone = await run(folder);
  expect(gone.tensors.size).toBe(tensors.size);
  const updates = (job.steps - STOP) * job.online.updates;
  const [scale, kept] = gone.scaleOf('online-0');
  expect(Math.log2(FIRST / scale!) + kept!).toBeLessThanOrEqual(updates);
  expect(gone.scaleOf('student')[1]).toBeLessThanOrEqual(job.steps - STOP);
});
