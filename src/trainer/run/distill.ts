/** @file Distils a teacher into a one-step student by Flow Generator Matching (algorithm: K online updates, one student update). */
import { FlowstepError } from '../../errors.ts';
import { fillTimes, type TimeDensity } from '../flow/density.ts';
import { linearPath } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import { expand } from '../graph/ops.ts';
import { fgmLoss, oneStepStudent } from '../methods/fgm.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise, type ParameterList } from '../nn/parameters.ts';
import { learningRate } from '../optim/schedule.ts';
import { fillNormalAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sizeOf } from '../tensor.ts';
import type { TrainEvent } from './events.ts';
import { type Field, GradientStep, TRAINED } from './gradient-step.ts';
import { randomLabels } from './labels.ts';
import { Learner } from './learner.ts';
import { type LoopOptions, loopFacts } from './loop-options.ts';
import type { FlowModel } from './model.ts';
import { diverged, type Outcome } from './outcome.ts';
import { Pacer } from './pacer.ts';
import { Progress } from './progress.ts';

export interface OnlineOptions {
  readonly init: 'teacher' | 'random';
  /** Online updates per student update (K). */
  readonly updates: number;
  readonly learningRate: number;
  readonly density: TimeDensity;
}

/** `steps`, rate and average are the student's, `density` that of its loss. */
export interface DistillJob extends LoopOptions {
  readonly teacher: FlowModel;
  readonly online: OnlineOptions;
  /** Weights that the online flow starts from, instead of `online.init`. */
  readonly onlineModel?: FlowModel;
  readonly lambda1: number;
  readonly tStar: number;
  readonly cIn: number;
}

export interface Distilled {
  readonly outcome: Outcome;
  readonly student: FlowModel;
  readonly online: FlowModel;
}

/** beta1 = 0: other values break the alternation (RealUID, SiD). */
const ADAM = { beta1: 0, beta2: 0.999, epsilon: 1e-8 } as const;

/** A network at the one time t*, for every sample. */
const atTime = (field: Field, tStar: number) => (x: Value) =>
  field(x, expand(x.graph.scalar(tStar, x.dtype), [x.shape[0]!]));

/** Yields an event for each student update; returns student (averaged weights) and online flow. An aborted signal ends it after the current step. */
export async function* distill(
  job: DistillJob,
  signal?: AbortSignal,
): AsyncGenerator<TrainEvent, Distilled> {
  engine(job.threads === undefined ? {} : { threads: job.threads });
  const trainer = new Distiller(job);
  const progress = new Progress(job.steps);
  let outcome: Outcome = { kind: 'finished' };
  try {
    for (let i = 0; i < job.steps; i++) {
      if (signal?.aborted) {
        outcome = { kind: 'interrupted' };
        break;
      }
      const result = await trainer.iteration(i);
      if (result.problem) {
        outcome = diverged(result.problem, i + 1);
        break;
      }
      const { stepsPerSecond, etaSeconds, stepMs } = progress.tick(i + 1);
      const metrics = { ...result.metrics, 'time/step_ms': stepMs };
      yield { step: i + 1, steps: job.steps, metrics, stepsPerSecond, etaSeconds };
    }
  } finally {
    trainer.dispose();
  }
  return { outcome, ...trainer.models() };
}

/** The gradient steps of online flow and student, in turn, and their random inputs. */
export class Distiller {
  readonly #job: DistillJob;
  readonly #online: Learner;
  readonly #student: Learner;
  readonly #onlineStep: GradientStep;
  readonly #studentStep: GradientStep;
  readonly #onlineNoise: NoisePair;
  readonly #studentNoise: NoisePair;
  readonly #pacer = new Pacer();

  constructor(job: DistillJob) {
    this.#job = job;
    const { teacher, batch } = job;
    const { network } = teacher.info;
    const list = parameterList(network);
    checkWeights('the teacher', teacher, network, list);
    if (job.onlineModel) checkWeights('the online flow', job.onlineModel, network, list);
    const options = { ...ADAM, clipNorm: job.clipNorm, emaDecay: job.emaDecay };
    this.#student = new Learner('student', list, teacher.parameters.slice(), {
      ...options,
      ema: true,
    });
    this.#online = new Learner('online', list, onlineStart(job, list), { ...options, ema: false });

    const shape = sampleShape(network);
    const classes = classCount(network);
    const feeds = {
      z: { shape },
      x1: { shape },
      t: { shape: [] },
      ...(classes > 0 ? { labels: { shape: [], dtype: 'int64' as const } } : {}),
    };
    const student = (field: Field, z: Value) =>
      oneStepStudent(z, job.tStar, job.cIn, atTime(field, job.tStar));

    this.#onlineStep = new GradientStep({
      name: 'online gradient',
      network,
      batch,
      learner: this.#online,
      frozen: { student: this.#student.weights },
      feeds,
      build: (field, { z, x1, t }) => {
        const { xt, c } = linearPath(student(field('student'), z!), x1!, t!);
        return { loss: flowMatchingLoss(field(TRAINED)(xt, t!), c) };
      },
    });
    this.#studentStep = new GradientStep({
      name: 'student gradient',
      network,
      batch,
      learner: this.#student,
      frozen: { teacher: teacher.parameters, online: this.#online.weights },
      feeds,
      build: (field, { z, x1, t }) => {
        const { xt, c } = linearPath(student(field(TRAINED), z!), x1!, t!);
        const u = field('teacher')(xt, t!);
        const v = field('online')(xt, t!);
        const { loss, distance } = fgmLoss(u, v, c, job.lambda1);
        return { loss, meters: { distance } };
      },
    });
    const size = batch * sizeOf(shape);
    this.#onlineNoise = new NoisePair(size, job.seed, STREAMS.onlineLatent, STREAMS.onlineNoise);
    this.#studentNoise = new NoisePair(size, job.seed, STREAMS.studentLatent, STREAMS.studentNoise);
  }

  /** K online updates and one student update; `index` counts from 0. `problem` names what was not finite. */
  async iteration(index: number): Promise<{ metrics: Record<string, number>; problem?: string }> {
    const { online, steps, seed, density, schedule, warmup } = this.#job;
    const factor = learningRate(1, schedule, warmup, index, steps);
    let onlineMeters: Record<string, number> = {};
    for (let k = 0; k < online.updates; k++) {
      const draw = index * online.updates + k;
      await this.#feed(this.#onlineStep, this.#onlineNoise, draw, 0);
      fillTimes(this.#times(this.#onlineStep), online.density, seed, STREAMS.onlineTime, draw);
      const { loss } = await this.#onlineStep.run(this.#pacer, () =>
        this.#onlineNoise.fill(draw + 1),
      );
      const norm = await this.#online.update(loss!, online.learningRate * factor, this.#pacer);
      if (!Number.isFinite(norm))
        return { metrics: {}, problem: 'the gradient of the online flow' };
      onlineMeters = { 'loss/online': loss!, 'norm/online': norm };
    }
    await this.#feed(this.#studentStep, this.#studentNoise, index, 1);
    fillTimes(this.#times(this.#studentStep), density, seed, STREAMS.studentTime, index);
    const lr = this.#job.learningRate * factor;
    const { loss, distance } = await this.#studentStep.run(this.#pacer, () =>
      this.#studentNoise.fill(index + 1),
    );
    const norm = await this.#student.update(loss!, lr, this.#pacer);
    if (!Number.isFinite(norm)) return { metrics: {}, problem: "the student's gradient" };
    return {
      metrics: {
        ...onlineMeters,
        'loss/student': loss!,
        'distance/student': distance!,
        'norm/student': norm,
        'rate/student': lr,
      },
    };
  }

  models(): { student: FlowModel; online: FlowModel } {
    const { teacher, online, tStar, cIn, lambda1 } = this.#job;
    const { network, dataset } = teacher.info;
    const training = {
      steps: this.#student.updates,
      lambda1,
      onlineUpdates: online.updates,
      onlineInit: online.init,
      onlineLearningRate: online.learningRate,
      onlineDensity: JSON.stringify(online.density),
      ...loopFacts(this.#job),
    };
    const info = { network, dataset, training };
    return {
      student: {
        info: { ...info, role: 'student', student: { tStar, cIn } },
        parameters: this.#student.averaged.slice(),
      },
      online: { info: { ...info, role: 'online' }, parameters: this.#online.weights.slice() },
    };
  }

  dispose(): void {
    this.#onlineStep.dispose();
    this.#studentStep.dispose();
    this.#online.dispose();
    this.#student.dispose();
  }

  #times(step: GradientStep): Float32Array {
    return step.feed('t') as Float32Array;
  }

  async #feed(step: GradientStep, noise: NoisePair, draw: number, parity: number): Promise<void> {
    await noise.fill(draw);
    (step.feed('z') as Float32Array).set(noise.latent);
    (step.feed('x1') as Float32Array).set(noise.noise);
    const classes = classCount(this.#job.teacher.info.network);
    if (classes > 0) {
      randomLabels(
        step.feed('labels') as BigInt64Array,
        classes,
        this.#job.seed,
        2 * draw + parity,
      );
    }
  }
}

/** The latent z and the noise x1 of one update, drawn ahead while the update before runs. */
class NoisePair {
  readonly latent: Float32Array;
  readonly noise: Float32Array;
  readonly #seed: number;
  readonly #streams: readonly [number, number];
  #draw = -1;

  constructor(size: number, seed: number, latentStream: number, noiseStream: number) {
    this.latent = new Float32Array(size);
    this.noise = new Float32Array(size);
    this.#seed = seed;
    this.#streams = [latentStream, noiseStream];
  }

  /** Draws number `draw` unless it is there already. */
  async fill(draw: number): Promise<void> {
    if (this.#draw === draw) return;
    await fillNormalAsync(this.latent, this.#seed, this.#streams[0], draw);
    await fillNormalAsync(this.noise, this.#seed, this.#streams[1], draw);
    this.#draw = draw;
  }
}

function onlineStart(job: DistillJob, list: ParameterList): Float32Array {
  if (job.onlineModel) return job.onlineModel.parameters.slice();
  if (job.online.init === 'teacher') return job.teacher.parameters.slice();
  return initialise(list, job.seed);
}

function checkWeights(
  what: string,
  model: FlowModel,
  network: NetworkConfig,
  list: ParameterList,
): void {
  const same = JSON.stringify(model.info.network) === JSON.stringify(network);
  if (!same || model.parameters.length !== list.size) {
    throw new FlowstepError('SHAPE_MISMATCH', `${what} is another network than the teacher`, {
      hint: 'use the online flow that belongs to this teacher',
    });
  }
}
