/** @file Training runs to their end, with what they told on the way. */
import type { DistillJob } from '../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../src/trainer/run/distiller.ts';
import type { StepEvent, TrainEvent } from '../../src/trainer/run/events.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import type { RunOptions } from '../../src/trainer/run/run-folder.ts';
import { type TeacherJob, TeacherTrainer } from '../../src/trainer/run/teacher-trainer.ts';
import { type TrainResult, train } from '../../src/trainer/run/train.ts';

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
