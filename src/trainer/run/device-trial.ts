/** @file Whether a device trains as it should, and how fast it multiplies: what `--device auto` goes by. */
import { type NetworkConfig, NetworkConfigSchema } from '../nn/config.ts';
import type { Device } from '../runtime/library.ts';
import { type SelfTest, selfTest } from '../runtime/self-test.ts';
import { firstSteps } from './bench-jobs.ts';
import { productSeconds } from './roofline.ts';

export interface DeviceTrial extends SelfTest {
  /** Milliseconds of a product of two matrices of `PRODUCT_SIZE`, the least of a few. */
  readonly productMs: number;
  /** Losses and norms of gradients in the first steps of a small distillation, alike on all devices. */
  readonly figures: readonly number[];
}

export const PRODUCT_SIZE = 1024;

/** Attention, norms and convolution by patches: what most trainings are made of. */
const NETWORK: NetworkConfig = NetworkConfigSchema.parse({
  ...{ kind: 'dit', size: 8, channels: 1, patch: 2 },
  ...{ width: 32, depth: 1, heads: 2 },
});
const BATCH = 4;
const STEPS = 3;

/** Not the student's loss, which is small for large terms that cancel, and so mostly rounding. */
const FIGURES = ['loss/online', 'norm/online', 'norm/student'];

/** Share by which figures of two devices may differ: far more than rounding, far less than a mistake. */
const TOLERANCE = 1e-2;

/** Runs on the device of this process; throws as `selfTest` when it cannot. */
export async function tryDevice(device: Device): Promise<DeviceTrial> {
  const test = await selfTest(device);
  const productMs = (await productSeconds(PRODUCT_SIZE, 1)) * 1000;
  const steps = await firstSteps(NETWORK, BATCH, STEPS);
  const figures = steps.flatMap((told) => FIGURES.map((name) => told[name] ?? Number.NaN));
  return { ...test, productMs, figures };
}

/** Whether the figures are those of the other device but for rounding. */
export function trainsAlike(figures: readonly number[], right: readonly number[]): boolean {
  return (
    figures.length === right.length &&
    figures.every((figure, i) => Math.abs(figure - right[i]!) <= TOLERANCE * Math.abs(right[i]!))
  );
}
