/** @file Training runs to their end, with what they told on the way. */
import type { DistillJob } from '../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../src/trainer/run/distiller.ts';
import type { StepEvent, TrainEvent } from '../../src/trainer/run/events.ts';
import { type FlowModel, studentSettings } from '../../src/trainer/run/model.ts';
import type { RunOptions } from '../../src/trainer/run/run-folder.ts';
import { type TeacherJob, TeacherTrainer } from '../../src/trainer/run/teacher-trainer.ts';
import { type TrainResult, train } from '../../src/trainer/run/train.ts';
import { TINY_MLP, tinyModel } from './tiny-models.ts';

const density = { kind: 'uniform', min: 0.02, max: 0.98 } as const;

/** A distillation of a few milliseconds, to change what a test is about. */
export const TINY_DISTILL: DistillJob = {
  teacher: tinyModel(TINY_MLP),
  online: { init: 'teacher', updates: 2, learningRate: 1e-3, density },
  steps: 10,
  batch: 16,
  learningRate: 1e-3,
  warmup: 0,
  schedule: 'constant',
  lambda1: 1,
  weight: 'velocity',
  student: studentSettings({ tStar: 0.97, cIn: 1 }),
  emaDecay: 0.9,
  clipNorm: 0,
  clipValue: 0,
  density,
  seed: 5,
};

export interface RunControl {
  readonly signal?: AbortSignal;
  readonly run?: RunOptions;
}

export async function* trainTeacher(job: TeacherJob, { run, signal }: RunControl = {}) {
  return yield* train(new TeacherTrainer(job), job.steps, run, signal);
}

export async function* distill(job: DistillJob, { run, signal }: RunControl = {}) {
  return yield* train(new Distiller(job), job.steps, run, signal);
}

/** Takes all events; `seen` is called after each step. */
export async function runToEnd<Models extends Readonly<Record<string, FlowModel>>>(
  run: AsyncGenerator<TrainEvent, TrainResult<Models>>,
  seen?: (event: StepEvent) => void,
) {
  const events: TrainEvent[] = [];
  const steps: StepEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, steps, result: { outcome: value.outcome, ...value.models } };
    events.push(value);
    if (value.kind !== 'step') continue;
    steps.push(value);
    seen?.(value);
  }
}

/** The bits of a vector, so that equal means equal to the last one. */
export function bitsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length).slice();
}
