/** @file Times training and sampling of named configurations; the figures of `flowstep bench`. */

import { NetworkConfigSchema, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { fillNormalAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { type PrecisionName, precisionName } from '../runtime/providers.ts';
import { float32, sizeOf } from '../tensor.ts';
import {
  BENCH_STUDENT,
  BENCH_TOKENS,
  benchDistiller,
  benchTeacher,
  benchTexts,
  benchTrainer,
} from './bench-jobs.ts';
import { cardMemoryMib } from './card-memory.ts';
import type { Distiller } from './distiller.ts';
import type { FlowModel } from './model.ts';
import { planDistillation } from './plan.ts';
import { deviceRates, type Roofline, rooflineOf } from './roofline.ts';
import { Sampler } from './sample.ts';
import type { TeacherTrainer } from './teacher-trainer.ts';

export const BENCH_CONFIGS = {
  'mlp-2d': {
    network: { kind: 'mlp', dim: 2, width: 128, layers: 3, time: 'append' },
    batch: 256,
  },
  // Two for devices in software.
  'dit-xs': {
    network: { kind: 'dit', size: 8, channels: 3, patch: 2, width: 32, depth: 2, heads: 2 },
    batch: 2,
  },
  'unet-xs': {
    network: {
      kind: 'song-unet',
      size: 8,
      channels: 3,
      width: 8,
      multipliers: [1, 2],
      blocks: 1,
      attention: [4],
    },
    batch: 2,
  },
  'dit-s': {
    network: { kind: 'dit', size: 32, channels: 3, patch: 4, width: 256, depth: 6, heads: 4 },
    batch: 64,
  },
  'unet-s': {
    network: {
      kind: 'song-unet',
      size: 32,
      channels: 3,
      width: 64,
      multipliers: [2, 2, 2],
      blocks: 2,
    },
    batch: 16,
  },
  'mmdit-s': {
    network: {
      kind: 'mmdit',
      depth: 4,
      height: 32,
      width: 32,
      channels: 3,
      patch: 4,
      positions: 8,
      contextWidth: 384,
      pooledWidth: 384,
    },
    batch: 64,
  },
  'dit-b': {
    network: { kind: 'dit', size: 32, channels: 4, patch: 2, width: 768, depth: 12, heads: 12 },
    batch: 64,
  },
  'unet-cifar': {
    network: {
      kind: 'song-unet',
      size: 32,
      channels: 3,
      width: 128,
      multipliers: [2, 2, 2],
      blocks: 4,
    },
    batch: 64,
  },
} as const;

export type BenchConfig = keyof typeof BENCH_CONFIGS;

export interface BenchOptions {
  readonly config: BenchConfig;
  readonly batch?: number;
  /** Seconds that each figure is measured for, after three runs to warm up. */
  readonly seconds: number;
}

/** Milliseconds are medians; the keys are those of the PyTorch script that it is compared with. */
export interface BenchResult {
  readonly peer: string;
  readonly config: BenchConfig;
  readonly batch: number;
  readonly device: string;
  readonly precision: PrecisionName;
  readonly threads: number;
  readonly params: number;
  readonly train_ms: number;
  readonly fgm_ms: number;
  readonly sample1_ms: number;
  readonly sample50_ms: number;
  /** On CUDA of the card, above what was taken before; else of the process. */
  readonly peak_mib: number;
  /** Of the FGM iteration. */
  readonly roofline: Roofline;
}

const WARM_UP = 3;

/** Runs all four timings of a configuration on this process's engine. */
export async function benchmark(options: BenchOptions): Promise<BenchResult> {
  const { network: fields, batch: usual } = BENCH_CONFIGS[options.config];
  const on = engine();
  const isCuda = on.library.device === 'cuda';
  const before = isCuda ? cardMemoryMib() : undefined;
  const network = NetworkConfigSchema.parse(fields);
  const batch = options.batch ?? usual;
  const { seconds } = options;
  const list = parameterList(network);
  const model = benchTeacher(network);
  const train_ms = await timeSteps(benchTrainer(network, batch), seconds);
  let taken: number | undefined;
  const fgm_ms = await timeSteps(benchDistiller(model, batch), seconds, () => {
    if (isCuda) taken = cardMemoryMib();
  });
  const sample1_ms = await timeSampling(model, batch, 'one-step', seconds / 2);
  const sample50_ms = await timeSampling(model, batch, 'euler', seconds / 2);
  const resident = Math.round(process.resourceUsage().maxRSS / 1024);
  const peak_mib = taken === undefined ? resident : taken - (before ?? 0);
  const plan = planDistillation({ network, batch, updates: 1, tokens: BENCH_TOKENS });
  return {
    peer: 'flowstep',
    config: options.config,
    batch,
    device: on.library.device,
    precision: precisionName(on),
    threads: on.threads,
    params: list.size,
    train_ms,
    fgm_ms,
    sample1_ms,
    sample50_ms,
    peak_mib,
    roofline: rooflineOf(plan, fgm_ms, await deviceRates()),
  };
}

/** Median milliseconds of `work` over `seconds`: at least three runs, unless those take three times as long. */
async function timed(work: () => Promise<unknown>, seconds: number): Promise<number> {
  const budget = seconds * 1000;
  const times: number[] = [];
  let warmUps = 0;
  let total = 0;
  while (warmUps < WARM_UP && total < budget) {
    warmUps++;
    total += await milliseconds(work);
  }
  total = 0;
  while (total < (times.length < 3 ? 3 * budget : budget)) {
    const ms = await milliseconds(work);
    times.push(ms);
    total += ms;
  }
  const median = times.sort((a, b) => a - b)[times.length >> 1]!;
  return Number(median.toFixed(3));
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** `atEnd` is called while all that the training takes is there. */
async function timeSteps(
  trainer: TeacherTrainer | Distiller,
  seconds: number,
  atEnd: () => void = () => undefined,
) {
  let step = 0;
  const ms = await timed(() => trainer.step(step++), seconds);
  atEnd();
  trainer.dispose();
  return ms;
}

async function timeSampling(
  model: FlowModel,
  batch: number,
  solver: 'one-step' | 'euler',
  seconds: number,
) {
  const student = { ...model, info: { ...model.info, student: BENCH_STUDENT } };
  const prompts = benchTexts(model.info.network);
  const text = await prompts?.rows(new Int32Array(batch));
  const sampler = new Sampler(student, solver, batch, { tokens: prompts?.tokens ?? 0 });
  const shape = [batch, ...sampleShape(model.info.network)];
  const noise = new Float32Array(sizeOf(shape));
  let draw = 0;
  const ms = await timed(async () => {
    await fillNormalAsync(noise, 0, STREAMS.evaluation, draw++);
    await sampler.run({ solver, steps: 50, noise: float32(noise, shape), text });
  }, seconds);
  sampler.dispose();
  return ms;
}
