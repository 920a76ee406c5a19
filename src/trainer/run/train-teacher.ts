/** @file Trains a teacher by flow matching. */

import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { fillTimes } from '../flow/density.ts';
import { linearPath } from '../flow/path.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise } from '../nn/parameters.ts';
import { learningRate } from '../optim/schedule.ts';
import { fillNormalAsync, fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import type { TrainEvent } from './events.ts';
import { GradientStep, TRAINED } from './gradient-step.ts';
import { setLabels } from './labels.ts';
import { Learner } from './learner.ts';
import { type LoopOptions, loopFacts } from './loop-options.ts';
import type { FlowModel } from './model.ts';
import { diverged, type Outcome } from './outcome.ts';
import { Pacer } from './pacer.ts';
import { Progress } from './progress.ts';

export interface TeacherJob extends LoopOptions {
  readonly dataset: Dataset;
  readonly network: NetworkConfig;
}

export interface TrainedTeacher {
  readonly outcome: Outcome;
  readonly teacher: FlowModel;
}

/** Share of samples that are trained without their label, so that the teacher also knows the unconditional flow. */
const LABEL_DROPOUT = 0.1;

/** Yields an event a step; returns the averaged weights. An aborted signal ends it after the current step. */
export async function* trainTeacher(
  job: TeacherJob,
  signal?: AbortSignal,
): AsyncGenerator<TrainEvent, TrainedTeacher> {
  const { dataset, network, batch, seed, steps } = job;
  const shape = sampleShape(network);
  if (
    !sameShape(shape, dataset.shape) ||
    (classCount(network) > 0 && classCount(network) !== dataset.classes)
  ) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `the network makes samples of [${shape.join(', ')}] with ${classCount(network)} classes, the data set ${dataset.name} has [${dataset.shape.join(', ')}] with ${dataset.classes}`,
      { hint: 'choose a network for this data set, or 0 classes' },
    );
  }
  engine(job.threads === undefined ? {} : { threads: job.threads });
  const list = parameterList(network);
  const learner = new Learner('teacher', list, initialise(list, seed), {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    clipNorm: job.clipNorm,
    ema: true,
    emaDecay: job.emaDecay,
  });
  const step = new GradientStep({
    name: 'teacher gradient',
    network,
    batch,
    learner,
    frozen: {},
    feeds: {
      x0: { shape },
      x1: { shape },
      t: { shape: [] },
      ...(classCount(network) > 0 ? { labels: { shape: [], dtype: 'int64' as const } } : {}),
    },
    build: (field, { x0, x1, t }) => {
      const { xt, c } = linearPath(x0!, x1!, t!);
      return { loss: flowMatchingLoss(field(TRAINED)(xt, t!), c) };
    },
  });

  const noise = new Float32Array(batch * sizeOf(shape));
  const drop = new Float32Array(batch);
  const pacer = new Pacer();
  const progress = new Progress(steps);
  let outcome: Outcome = { kind: 'finished' };
  try {
    await fillNormalAsync(noise, seed, STREAMS.teacherNoise, 0);
    for (let i = 0; i < steps; i++) {
      if (signal?.aborted) {
        outcome = { kind: 'interrupted' };
        break;
      }
      const data = dataset.batch(seed, i, batch);
      (step.feed('x0') as Float32Array).set(data.x);
      (step.feed('x1') as Float32Array).set(noise);
      fillTimes(step.feed('t') as Float32Array, job.density, seed, STREAMS.teacherTime, i);
      if (classCount(network) > 0) {
        fillUniform(drop, seed, STREAMS.labels, i);
        setLabels(step.feed('labels') as BigInt64Array, (k) =>
          drop[k]! < LABEL_DROPOUT ? classCount(network) : data.labels![k]!,
        );
      }
      const lr = learningRate(job.learningRate, job.schedule, job.warmup, i, steps);
      const meters = await step.run(pacer, () =>
        fillNormalAsync(noise, seed, STREAMS.teacherNoise, i + 1),
      );
      const norm = await learner.update(meters['loss']!, lr, pacer);
      if (!Number.isFinite(norm)) {
        outcome = diverged('the loss', i + 1);
        break;
      }
      const { stepsPerSecond, etaSeconds, stepMs } = progress.tick(i + 1);
      yield {
        step: i + 1,
        steps,
        metrics: {
          'loss/teacher': meters['loss']!,
          'norm/teacher': norm,
          'rate/teacher': lr,
          'time/step_ms': stepMs,
        },
        stepsPerSecond,
        etaSeconds,
      };
    }
  } finally {
    step.dispose();
    learner.dispose();
  }
  return {
    outcome,
    teacher: {
      info: {
        role: 'teacher',
        network,
        dataset: { name: dataset.name, hash: dataset.hash },
        training: {
          steps: learner.updates,
          ...loopFacts(job),
        },
      },
      parameters: learner.averaged.slice(),
    },
  };
}
