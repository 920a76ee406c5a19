/** @file Trainings of noise for timings and comparisons: what they are fed is the same on every machine and device. */
import type { Dataset } from '../data/dataset.ts';
import { pointSet } from '../data/points.ts';
import type { PromptSet } from '../data/prompts.ts';
import type { TimeDensity } from '../flow/density.ts';
import { type NetworkConfig, sampleShape, textWidths } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise } from '../nn/parameters.ts';
import { float32, sizeOf } from '../tensor.ts';
import { Distiller } from './distiller.ts';
import { type FlowModel, studentSettings } from './model.ts';
import { TeacherTrainer } from './teacher-trainer.ts';

/** Texts of networks that take any: tokens in each, and their number. */
export const BENCH_TOKENS = 16;
const TEXTS = { count: 8, tokens: BENCH_TOKENS };

const DENSITY: TimeDensity = { kind: 'logit-normal', mean: 0, std: 1, min: 0, max: 1 };

export const BENCH_STUDENT = studentSettings({ tStar: 0.97, cIn: 1 });

const COMMON = {
  steps: Number.MAX_SAFE_INTEGER,
  learningRate: 1e-4,
  warmup: 0,
  schedule: 'constant',
  emaDecay: 0.999,
  clipNorm: 0,
  clipValue: 0,
  density: DENSITY,
  seed: 0,
} as const;

/** A teacher that has learned nothing. */
export function benchTeacher(network: NetworkConfig): FlowModel {
  return {
    info: { role: 'teacher', network, dataset: { name: 'noise', hash: '' }, training: {} },
    parameters: initialise(parameterList(network), 0),
  };
}

/** Texts that say nothing, for networks that take text. */
export function benchTexts(network: NetworkConfig): PromptSet | undefined {
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

/** Trains a teacher on zeros. */
export function benchTrainer(network: NetworkConfig, batch: number): TeacherTrainer {
  const shape = sampleShape(network);
  const x = new Float32Array(batch * sizeOf(shape));
  const prompts = benchTexts(network);
  const dataset: Dataset = {
    ...pointSet('8g'),
    shape,
    classes: prompts?.count ?? 0,
    batch: () => ({ x, labels: new Int32Array(batch) }),
  };
  return new TeacherTrainer({ ...COMMON, dataset, network, ...(prompts && { prompts }), batch });
}

/** Distils the teacher with one online update an iteration and the full loss. */
export function benchDistiller(
  teacher: FlowModel,
  batch: number,
  seed: number = COMMON.seed,
): Distiller {
  const prompts = benchTexts(teacher.info.network);
  return new Distiller({
    ...COMMON,
    seed,
    teacher,
    ...(prompts && { prompts }),
    online: { init: 'teacher', updates: 1, learningRate: 1e-4, density: DENSITY },
    batch,
    lambda1: 1,
    weight: 'velocity',
    student: BENCH_STUDENT,
  });
}

/** What the first steps of a distillation tell of losses and gradients, on this process's device. */
export async function firstSteps(
  network: NetworkConfig,
  batch: number,
  steps: number,
): Promise<Readonly<Record<string, number>>[]> {
  const distiller = benchDistiller(benchTeacher(network), batch);
  const told: Readonly<Record<string, number>>[] = [];
  try {
    for (let step = 0; step < steps; step++) told.push((await distiller.step(step)).metrics);
  } finally {
    distiller.dispose();
  }
  return told;
}
