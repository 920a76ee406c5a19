/** @file Distils a teacher into a student by Flow Generator Matching (algorithm: K online updates, one student update). */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Json } from '../files/canonical-json.ts';
import { fillTimes, type TimeDensity } from '../flow/density.ts';
import { linearPath } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import { expand, mul } from '../graph/ops.ts';
import {
  fgmLoss,
  oneStepStudent,
  predictedData,
  type VelocityWeight,
  velocityWeight,
} from '../methods/fgm.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import {
  type RealDataWeights,
  realDataOnlineLoss,
  scaledVelocity,
  usesRealData,
} from '../methods/real-data.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise, type ParameterList } from '../nn/parameters.ts';
import { learningRate } from '../optim/schedule.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import {
  type BuiltLoss,
  type FeedSpec,
  type Field,
  GradientStep,
  TRAINED,
} from './gradient-step.ts';
import { LABELS_FEED, randomLabels, setLabels } from './labels.ts';
import { Learner, stateOf } from './learner.ts';
import { type LoopOptions, loopConfiguration } from './loop-options.ts';
import { type FlowModel, type ModelInfo, type StudentSettings, weightsHash } from './model.ts';
import { NoiseFeed } from './noise-feed.ts';
import { Pacer } from './pacer.ts';
import { Preview } from './preview.ts';
import { StudentWalk } from './student-walk.ts';
import type { StepResult, Trainer } from './trainer.ts';

export interface OnlineOptions {
  readonly init: 'teacher' | 'random';
  /** Online updates per student update (K). */
  readonly updates: number;
  readonly learningRate: number;
  readonly density: TimeDensity;
}

export interface RealData extends RealDataWeights {
  readonly dataset: Dataset;
}

/** `steps`, rate and average are the student's, `density` that of its loss. */
export interface DistillJob extends LoopOptions {
  readonly teacher: FlowModel;
  readonly online: OnlineOptions;
  /** Weights that the online flow starts from, instead of `online.init`. */
  readonly onlineModel?: FlowModel;
  readonly lambda1: number;
  readonly weight: VelocityWeight;
  readonly student: StudentSettings;
  readonly realData?: RealData;
}

type DistillModels = { readonly student: FlowModel; readonly online: FlowModel };

/** beta1 = 0: other values break the alternation (RealUID, SiD). */
const ADAM = { beta1: 0, beta2: 0.999, epsilon: 1e-8 } as const;

/** Where the random inputs of an update come from. */
interface Draws {
  readonly latent: NoiseFeed;
  readonly noise: NoiseFeed;
  readonly density: TimeDensity;
  readonly timeStream: number;
  /** Tells the two kinds of update apart where they share a stream. */
  readonly parity: 0 | 1;
}

export class Distiller implements Trainer<DistillModels> {
  readonly watched = 'loss/online';
  readonly sampleSize: number;
  readonly configuration: Readonly<Record<string, Json>>;
  readonly state: ReadonlyMap<string, Float32Array>;
  readonly #job: DistillJob;
  /** The configuration but for network and student settings, which a model file has places of their own for. */
  readonly #facts: Readonly<Record<string, Json>>;
  readonly #online: Learner;
  readonly #student: Learner;
  readonly #onlineStep: GradientStep;
  readonly #studentStep: GradientStep;
  readonly #onlineDraws: Draws;
  readonly #studentDraws: Draws;
  readonly #realNoise: NoiseFeed | undefined;
  /** For students of several steps: takes latents to the step that is trained. */
  readonly #walk: StudentWalk | undefined;
  readonly #preview: Preview;
  readonly #pacer = new Pacer();

  /** Throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE when teacher, online flow and real data do not fit together. */
  constructor(job: DistillJob) {
    this.#job = job;
    const { teacher, batch, seed, realData } = job;
    const { network } = teacher.info;
    const list = parameterList(network);
    checkJob(job, list);
    const shape = sampleShape(network);
    const size = batch * sizeOf(shape);
    this.sampleSize = sizeOf(shape);
    this.#facts = factsOf(job);
    this.configuration = { network, student: job.student, ...this.#facts };

    const options = {
      ...ADAM,
      clipNorm: job.clipNorm,
      clipValue: job.clipValue,
      emaDecay: job.emaDecay,
    };
    const start = teacher.parameters.slice();
    this.#student = new Learner('student', list, start, { ...options, ema: true });
    this.#online = new Learner('online', list, onlineStart(job, list), { ...options, ema: false });
    this.state = stateOf({ student: this.#student, online: this.#online });

    const feeds: Record<string, FeedSpec> = {
      z: { shape },
      x1: { shape },
      t: { shape: [] },
      ...(classCount(network) > 0 ? LABELS_FEED : {}),
      ...(job.student.grid.length > 1 && { studentTime: { shape: [] } }),
    };
    this.#onlineStep = new GradientStep({
      name: 'online gradient',
      network,
      batch,
      learner: this.#online,
      frozen: { student: this.#student.weights },
      feeds: { ...feeds, ...(realData && realFeeds(network)) },
      build: (field, values) => onlineLoss(job, field, values),
    });
    this.#studentStep = new GradientStep({
      name: 'student gradient',
      network,
      batch,
      learner: this.#student,
      frozen: { teacher: teacher.parameters, online: this.#online.weights },
      feeds,
      build: (field, values) => studentLoss(job, field, values),
    });

    this.#onlineDraws = {
      latent: new NoiseFeed(size, seed, STREAMS.onlineLatent),
      noise: new NoiseFeed(size, seed, STREAMS.onlineNoise),
      density: job.online.density,
      timeStream: STREAMS.onlineTime,
      parity: 0,
    };
    this.#studentDraws = {
      latent: new NoiseFeed(size, seed, STREAMS.studentLatent),
      noise: new NoiseFeed(size, seed, STREAMS.studentNoise),
      density: job.density,
      timeStream: STREAMS.studentTime,
      parity: 1,
    };
    this.#realNoise = realData && new NoiseFeed(size, seed, STREAMS.realNoise);
    this.#walk =
      job.student.grid.length > 1
        ? new StudentWalk(teacher.info, this.#student.weights, job.student, batch, seed)
        : undefined;
    const shown = { info: this.#studentInfo(), parameters: this.#student.averaged };
    this.#preview = new Preview(shown, seed);
  }

  /** K online updates and one student update. */
  async step(index: number): Promise<StepResult> {
    const { online, steps, schedule, warmup } = this.#job;
    const factor = learningRate(1, schedule, warmup, index, steps);
    let metrics: Record<string, number> = {};
    for (let k = 0; k < online.updates; k++) {
      const draw = index * online.updates + k;
      await this.#feed(this.#onlineStep, this.#onlineDraws, draw);
      await this.#feedRealData(draw);
      const { loss } = await this.#onlineStep.run(this.#pacer, () =>
        this.#drawAhead(this.#onlineDraws, draw + 1),
      );
      const norm = await this.#online.update(loss!, online.learningRate * factor, this.#pacer);
      if (!Number.isFinite(norm)) return { metrics, notFinite: 'the gradient of the online flow' };
      metrics = { 'loss/online': loss!, 'norm/online': norm };
    }
    await this.#feed(this.#studentStep, this.#studentDraws, index);
    const { loss, distance } = await this.#studentStep.run(this.#pacer, () =>
      this.#drawAhead(this.#studentDraws, index + 1),
    );
    const rate = this.#job.learningRate * factor;
    const norm = await this.#student.update(loss!, rate, this.#pacer);
    if (!Number.isFinite(norm)) return { metrics, notFinite: "the student's gradient" };
    return {
      metrics: {
        ...metrics,
        'loss/student': loss!,
        'distance/student': distance!,
        'norm/student': norm,
        'rate/student': rate,
      },
    };
  }

  resumeAt(steps: number): void {
    this.#student.updates = steps;
    this.#online.updates = steps * this.#job.online.updates;
  }

  samples(signal?: AbortSignal) {
    return this.#preview.samples(signal);
  }

  models(): DistillModels {
    const { student, ...info } = this.#studentInfo();
    return {
      student: { info: { ...info, student }, parameters: this.#student.averaged.slice() },
      online: { info: { ...info, role: 'online' }, parameters: this.#online.weights.slice() },
    };
  }

  dispose(): void {
    this.#onlineStep.dispose();
    this.#studentStep.dispose();
    this.#online.dispose();
    this.#student.dispose();
    this.#walk?.dispose();
    this.#preview.dispose();
  }

  #studentInfo(): ModelInfo & { readonly student: StudentSettings } {
    const { network, dataset } = this.#job.teacher.info;
    const steps = this.#student.updates;
    const training = { steps, ...this.#facts, threads: engine().threads };
    return {
      role: 'student',
      network,
      dataset,
      student: this.#job.student,
      training: JSON.parse(JSON.stringify(training)),
    };
  }

  async #feed(step: GradientStep, draws: Draws, draw: number): Promise<void> {
    const { seed, teacher } = this.#job;
    const z = step.feed('z') as Float32Array;
    await draws.latent.writeTo(z, draw);
    await draws.noise.writeTo(step.feed('x1') as Float32Array, draw);
    fillTimes(step.feed('t') as Float32Array, draws.density, seed, draws.timeStream, draw);
    const shared = 2 * draw + draws.parity;
    const classes = classCount(teacher.info.network);
    const labels = classes > 0 ? (step.feed('labels') as BigInt64Array) : undefined;
    if (labels) randomLabels(labels, classes, seed, shared);
    if (this.#walk) {
      const time = await this.#walk.toRandomStep(z, labels, shared);
      (step.feed('studentTime') as Float32Array).fill(time);
    }
  }

  async #feedRealData(draw: number): Promise<void> {
    const { realData, seed, batch, online, teacher } = this.#job;
    if (!realData) return;
    const step = this.#onlineStep;
    const { x, labels } = realData.dataset.batch(seed, draw, batch);
    (step.feed('real') as Float32Array).set(x);
    await this.#realNoise!.writeTo(step.feed('realNoise') as Float32Array, draw);
    const times = step.feed('realTime') as Float32Array;
    fillTimes(times, online.density, seed, STREAMS.realTime, draw);
    if (classCount(teacher.info.network) > 0) {
      setLabels(step.feed('realLabels') as BigInt64Array, (k) => labels![k]!);
    }
  }

  async #drawAhead(draws: Draws, draw: number): Promise<void> {
    await draws.latent.fill(draw);
    await draws.noise.fill(draw);
  }
}

type Feeds = Readonly<Record<string, Value>>;

/** The student's samples: from noise in one step, or from where its walk has taken it by one more. */
function studentSamples({ student }: DistillJob, field: Field, { z, studentTime }: Feeds): Value {
  if (studentTime) return predictedData(z!, studentTime, field(z!, studentTime));
  const { tStar, cIn } = student;
  const atTStar = (x: Value) => field(x, expand(x.graph.scalar(tStar, x.dtype), [x.shape[0]!]));
  return oneStepStudent(z!, tStar, cIn, atTStar);
}

function onlineLoss(job: DistillJob, field: (prefix: string) => Field, feeds: Feeds): BuiltLoss {
  const { x1, t, real, realNoise, realTime, realLabels } = feeds;
  const { xt, c } = linearPath(studentSamples(job, field('student'), feeds), x1!, t!);
  const student = { v: field(TRAINED)(xt, t!), c };
  if (!job.realData) return { loss: flowMatchingLoss(student.v, c) };
  const path = linearPath(real!, realNoise!, realTime!);
  const judged = { v: field(TRAINED)(path.xt, realTime!, realLabels), c: path.c };
  return { loss: realDataOnlineLoss(student, judged, job.realData) };
}

function studentLoss(job: DistillJob, field: (prefix: string) => Field, feeds: Feeds): BuiltLoss {
  const { x1, t } = feeds;
  const x0 = studentSamples(job, field(TRAINED), feeds);
  const { xt, c } = linearPath(x0, x1!, t!);
  const u = field('teacher')(xt, t!);
  const v = field('online')(xt, t!);
  const { weight, held } = velocityWeight(job.weight, t!, { x0, xt, u });
  const target = job.realData ? scaledVelocity(c, job.realData) : c;
  const terms = fgmLoss(u, v, target, job.lambda1, weight);
  const loss = job.realData ? mul(terms.loss, job.realData.realAlpha) : terms.loss;
  return { loss, meters: { distance: terms.distance }, held };
}

function realFeeds(network: NetworkConfig): Record<string, FeedSpec> {
  const shape = sampleShape(network);
  return {
    real: { shape },
    realNoise: { shape },
    realTime: { shape: [] },
    ...(classCount(network) > 0 && { realLabels: LABELS_FEED.labels }),
  };
}

function factsOf(job: DistillJob): Readonly<Record<string, Json>> {
  const { teacher, online, onlineModel, lambda1, weight, realData } = job;
  return {
    method: 'fgm',
    teacher: weightsHash(teacher),
    online: { ...online, ...(onlineModel && { start: weightsHash(onlineModel) }) },
    lambda1,
    weight,
    ...(realData && {
      realData: {
        dataset: { name: realData.dataset.name, hash: realData.dataset.hash },
        realAlpha: realData.realAlpha,
        realBeta: realData.realBeta,
      },
    }),
    ...loopConfiguration(job),
  };
}

function onlineStart(job: DistillJob, list: ParameterList): Float32Array {
  if (job.onlineModel) return job.onlineModel.parameters.slice();
  if (job.online.init === 'teacher') return job.teacher.parameters.slice();
  return initialise(list, job.seed);
}

function checkJob({ teacher, onlineModel, realData }: DistillJob, list: ParameterList): void {
  const { network } = teacher.info;
  checkWeights('the teacher', teacher, network, list);
  if (onlineModel) checkWeights('the online flow', onlineModel, network, list);
  if (!realData) return;
  if (!usesRealData(realData)) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'real data with realAlpha 1 would not be used', {
      field: 'realAlpha',
      hint: 'Set realAlpha and realBeta below 1, or leave the data set out.',
    });
  }
  const { shape, classes, name } = realData.dataset;
  if (sameShape(shape, sampleShape(network)) && classes >= classCount(network)) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the real data ${name} has samples of [${shape.join(', ')}] with ${classes} classes, the teacher makes [${sampleShape(network).join(', ')}] with ${classCount(network)}`,
    { field: 'dataset', hint: 'Use the data that the teacher was trained on.' },
  );
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
