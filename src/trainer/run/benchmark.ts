/** @file Times training and sampling of named configurations; the figures of `flowstep bench`. */

import type { Dataset } from '../data/dataset.ts';
import { pointSet } from '../data/points.ts';
import type { PromptSet } from '../data/prompts.ts';
import type { TimeDensity } from '../flow/density.ts';
import { type NetworkConfig, NetworkConfigSchema, sampleShape, textWidths } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise } from '../nn/parameters.ts';
import { fillNormalAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { float32, sizeOf } from '../tensor.ts';
import { Distiller } from './distiller.ts';
import { type FlowModel, studentSettings } from './model.ts';
import { Sampler } from './sample.ts';
import { TeacherTrainer } from './teacher-trainer.ts';

export const BENCH_CONFIGS = {
  'mlp-2d': {
    network: { kind: 'mlp', dim: 2, width: 128, layers: 3, time: 'append' },
    batch: 256,
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
} as const;

/** Texts of networks that take any: their number, and tokens in each. */
const TEXTS = { count: 8, tokens: 16 };

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
  readonly threads: number;
  readonly params: number;
  readonly train_ms: number;
  readonly fgm_ms: number;
  readonly sample1_ms: number;
  readonly sample50_ms: number;
  readonly peak_mib: number;
}

const DENSITY: TimeDensity = { kind: 'logit-normal', mean: 0, std: 1, min: 0, max: 1 };
const WARM_UP = 3;
const STUDENT = studentSettings({ tStar: 0.97, cIn: 1 });

/** Runs all four timings of a configuration on this process's engine. */
export async function benchmark(options: BenchOptions): Promise<BenchResult> {
  const { network: fields, batch: usual } = BENCH_CONFIGS[options.config];
  const on = engine();
  const network = NetworkConfigSchema.parse(fields);
  const batch = options.batch ?? usual;
  const { seconds } = options;
  const list = parameterList(network);
  const model: FlowModel = {
    info: { role: 'teacher', network, dataset: { name: 'noise', hash: '' }, training: {} },
    parameters: initialise(list, 0),
  };
  const train_ms = await timeTraining(network, batch, seconds);
  const fgm_ms = await timeDistillation(model, batch, seconds);
  const sample1_ms = await timeSampling(model, batch, 'one-step', seconds / 2);
  const sample50_ms = await timeSampling(model, batch, 'euler', seconds / 2);
  return {
    peer: 'flowstep',
    config: options.config,
    batch,
    device: on.library.device,
    threads: on.threads,
    params: list.size,
    train_ms,
    fgm_ms,
    sample1_ms,
    sample50_ms,
    peak_mib: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

/** Texts that say nothing, for networks that take text. */
function textsFor(network: NetworkConfig): PromptSet | undefined {
  const widths = textWidths(network);
  if (!widths) return undefined;
  const { contextWidth, pooledWidth } = widths;
  const { count, tokens } = TEXTS;
  const rows = (n: number) => ({
    context: float32(new Float32Array(n * tokens * contextWidth), [n, tokens, contextWidth]),
    pooled: float32(new Float32Array(n * pooledWidth), [n, pooledWidth]),
  });
  return {
    ...{ name: 'silence', hash: '', count, tokens, contextWidth, pooledWidth },
    empty: rows(1),
    rows: async (choices) => rows(choices.length),
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

async function timeTraining(network: NetworkConfig, batch: number, seconds: number) {
  const shape = sampleShape(network);
  const x = new Float32Array(batch * sizeOf(shape));
  const prompts = textsFor(network);
  const dataset: Dataset = {
    ...pointSet('8g'),
    shape,
    classes: prompts?.count ?? 0,
    batch: () => ({ x, labels: new Int32Array(batch) }),
  };
  const trainer = new TeacherTrainer({
    dataset,
    network,
    ...(prompts && { prompts }),
    steps: Number.MAX_SAFE_INTEGER,
    batch,
    learningRate: 1e-4,
    warmup: 0,
    schedule: 'constant',
    emaDecay: 0.999,
    clipNorm: 0,
    clipValue: 0,
    density: DENSITY,
    seed: 0,
  });
  let step = 0;
  const ms = await timed(() => trainer.step(step++), seconds);
  trainer.dispose();
  return ms;
}

async function timeDistillation(teacher: FlowModel, batch: number, seconds: number) {
  const prompts = textsFor(teacher.info.network);
  const distiller = new Distiller({
    teacher,
    ...(prompts && { prompts }),
    online: { init: 'teacher', updates: 1, learningRate: 1e-4, density: DENSITY },
    steps: Number.MAX_SAFE_INTEGER,
    batch,
    learningRate: 1e-4,
    warmup: 0,
    schedule: 'constant',
    lambda1: 1,
    weight: 'velocity',
    student: STUDENT,
    emaDecay: 0.999,
    clipNorm: 0,
    clipValue: 0,
    density: DENSITY,
    seed: 0,
  });
  let step = 0;
  const ms = await timed(() => distiller.step(step++), seconds);
  distiller.dispose();
  return ms;
}

async function timeSampling(
  model: FlowModel,
  batch: number,
  solver: 'one-step' | 'euler',
  seconds: number,
) {
  const student = { ...model, info: { ...model.info, student: STUDENT } };
  const prompts = textsFor(model.info.network);
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
