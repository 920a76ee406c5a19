/** @file Small distillations that are killed and resumed: between them they use every kind of state and random draw. */
import { pointSet } from '../../src/trainer/data/points.ts';
import { NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { initialise } from '../../src/trainer/nn/parameters.ts';
import type { DistillJob } from '../../src/trainer/run/distill-job.ts';
import { studentSettings } from '../../src/trainer/run/model.ts';

const density = { kind: 'logit-normal', mean: 0, std: 1, min: 0.02, max: 0.98 } as const;

const common = {
  learningRate: 1e-3,
  warmup: 10,
  schedule: 'cosine',
  emaDecay: 0.99,
  clipNorm: 1,
  clipValue: 0,
  density,
  seed: 7,
} as const;

const teacherOf = (fields: object) => {
  const network = NetworkConfigSchema.parse(fields);
  const info = {
    role: 'teacher',
    network,
    dataset: { name: 'none', hash: '' },
    training: {},
  } as const;
  return { info, parameters: initialise(parameterList(network), 1) };
};

/** Several steps with fresh noise, and real data. */
const mlp: DistillJob = {
  ...common,
  teacher: teacherOf({ kind: 'mlp', dim: 2, width: 64, layers: 3 }),
  online: { init: 'teacher', updates: 3, learningRate: 2e-3, density },
  steps: 400,
  batch: 128,
  lambda1: 1,
  weight: 'sid',
  student: studentSettings({ tStar: 1, cIn: 1, steps: 3, shift: 2, transition: 'fresh' }),
  realData: { dataset: pointSet('8g'), realAlpha: 0.9, realBeta: 0.92 },
};

/** Classes, micro-batches, one step. */
const dit: DistillJob = {
  ...common,
  teacher: teacherOf({
    ...{ kind: 'dit', size: 16, channels: 3, patch: 2, width: 64, depth: 3, heads: 4 },
    classes: 10,
  }),
  online: { init: 'random', updates: 1, learningRate: 1e-3, density },
  steps: 40,
  batch: 128,
  lambda1: 0,
  weight: 'velocity',
  student: studentSettings({ tStar: 0.97, cIn: 0.97 }),
};

export const RESUME_JOBS = { mlp, dit } as const;
export type ResumeJob = keyof typeof RESUME_JOBS;

/** Steps between checkpoints. */
export const CHECKPOINT_EVERY = { mlp: 30, dit: 4 } as const satisfies Record<ResumeJob, number>;
