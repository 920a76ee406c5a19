/** @file Network, training and distillations of the emoji experiment. */

import type { MmditConfig } from '../../src/trainer/nn/config.ts';
import type { LoraConfig } from '../../src/trainer/nn/lora.ts';
import { studentSettings } from '../../src/trainer/run/model.ts';
import { SIDE } from './pictures.ts';

/** Pictures are cut into 36 patches; widths of the text are all-MiniLM-L6-v2's. */
export const NETWORK: MmditConfig = {
  kind: 'mmdit',
  depth: 2,
  height: SIDE,
  width: SIDE,
  channels: 3,
  patch: 4,
  positions: SIDE / 4,
  contextWidth: 384,
  pooledWidth: 384,
  qkNorm: false,
  dualBlocks: [],
};

const COMMON = { warmup: 100, clipValue: 0, clipNorm: 1 } as const;

/** Times up to 1, where one-step students look. */
export const TEACHER = {
  ...COMMON,
  network: NETWORK,
  steps: 4500,
  batch: 64,
  learningRate: 2e-3,
  schedule: 'cosine',
  emaDecay: 0.998,
  density: { kind: 'logit-normal', mean: 0, std: 1, min: 0, max: 1 },
} as const;

/** Of the teacher in the students' loss; the scan of `npm run verify:emoji` chose it. */
export const GUIDANCE = 1.5;

const STUDENT = {
  ...COMMON,
  batch: 32,
  lambda1: 0,
  weight: 'velocity',
  schedule: 'linear',
  emaDecay: 0.99,
  density: { kind: 'logit-normal', mean: 0, std: 1, min: 0.01, max: 0.98 },
  guidance: { teacher: GUIDANCE, online: 1 },
} as const;

const ONLINE = { init: 'teacher', updates: 1, density: STUDENT.density } as const;

/** Rank 16 on the layers that all networks of this kind adapt; for teacher and online flow alike. */
const LORA: LoraConfig = { rank: 16, alpha: 16, targets: ['qkv', 'proj', 'fc1', 'fc2'] };

export const STUDENTS = {
  full: {
    ...STUDENT,
    steps: 1200,
    learningRate: 2e-4,
    online: { ...ONLINE, learningRate: 4e-4 },
    student: studentSettings({ tStar: 0.97, cIn: 0.97 }),
  },
  lora: {
    ...STUDENT,
    steps: 1200,
    learningRate: 1e-3,
    online: { ...ONLINE, learningRate: 1e-3, lora: LORA },
    student: studentSettings({ tStar: 1, cIn: 1 }),
    lora: LORA,
  },
} as const;
