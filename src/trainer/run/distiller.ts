/**
 * @file Distils a teacher into a student by Flow Generator Matching (algorithm: K online updates, one student update).
 *
 * A student of several steps is trained at one of them in each iteration, with the gradient through that step alone.
 * Each step has an online flow of its own: one flow for all would learn their mixture, and the student could match
 * the teacher in the mixture while each step misses it (measured: docs/architecture.md).
 */
import type { Json } from '../files/canonical-json.ts';
import { fillTimes, type TimeDensity } from '../flow/density.ts';
import { classCount, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { learningRate } from '../optim/schedule.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sizeOf } from '../tensor.ts';
import { checkJob, type DistillJob, factsOf, onlineStart } from './distill-job.ts';
import { onlineLoss, realFeeds, studentLoss } from './distill-losses.ts';
import { type FeedSpec, GradientStep } from './gradient-step.ts';
import { LABELS_FEED, randomLabels, setLabels } from './labels.ts';
import { Learner, stateOf } from './learner.ts';
import type { FlowModel, ModelInfo, StudentSettings } from './model.ts';
import { NoiseFeed } from './noise-feed.ts';
import { Pacer } from './pacer.ts';
import { Preview } from './preview.ts';
import { StudentWalk, trainedStep } from './student-walk.ts';
import type { StepResult, Trainer } from './trainer.ts';

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
  readonly #student: Learner;
  /** One for each step of the student, as are the programs. */
  readonly #onlines: readonly Learner[];
  readonly #onlineSteps: readonly GradientStep[];
  readonly #studentSteps: readonly GradientStep[];
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
    this.#onlines = job.student.grid.map(
      () => new Learner('online', list, onlineStart(job, list), { ...options, ema: false }),
    );
    this.state = stateOf({
      student: this.#student,
      ...Object.fromEntries(this.#onlines.map((learner, k) => [`online-${k}`, learner])),
    });

    const feeds: Record<string, FeedSpec> = {
      z: { shape },
      x1: { shape },
      t: { shape: [] },
      ...(classCount(network) > 0 ? LABELS_FEED : {}),
      ...(job.student.grid.length > 1 && { studentTime: { shape: [] } }),
    };
    this.#onlineSteps = this.#onlines.map(
      (learner) =>
        new GradientStep({
          name: 'online gradient',
          network,
          batch,
          learner,
          frozen: { student: this.#student.weights },
          feeds: { ...feeds, ...(realData && realFeeds(network)) },
          build: (field, values) => onlineLoss(job, field, values),
        }),
    );
    this.#studentSteps = this.#onlines.map(
      ({ weights }) =>
        new GradientStep({
          name: 'student gradient',
          network,
          batch,
          learner: this.#student,
          frozen: { teacher: teacher.parameters, online: weights },
          feeds,
          build: (field, values) => studentLoss(job, field, values),
        }),
    );

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
    const trained = this.#trainedStep(index);
    const learner = this.#onlines[trained]!;
    const onlineStep = this.#onlineSteps[trained]!;
    const studentStep = this.#studentSteps[trained]!;
    const factor = learningRate(1, schedule, warmup, index, steps);
    let metrics: Record<string, number> = {};
    for (let k = 0; k < online.updates; k++) {
      const draw = index * online.updates + k;
      await this.#feed(onlineStep, this.#onlineDraws, draw, trained);
      await this.#feedRealData(onlineStep, draw);
      const { loss } = await onlineStep.run(this.#pacer, () =>
        this.#drawAhead(this.#onlineDraws, draw + 1),
      );
      const norm = await learner.update(loss!, online.learningRate * factor, this.#pacer);
      if (!Number.isFinite(norm)) return { metrics, notFinite: 'the gradient of the online flow' };
      metrics = { 'loss/online': loss!, 'norm/online': norm };
    }
    await this.#feed(studentStep, this.#studentDraws, index, trained);
    const { loss, distance } = await studentStep.run(this.#pacer, () =>
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
    for (const learner of this.#onlines) learner.updates = 0;
    for (let i = 0; i < steps; i++) {
      this.#onlines[this.#trainedStep(i)]!.updates += this.#job.online.updates;
    }
  }

  samples(signal?: AbortSignal) {
    return this.#preview.samples(signal);
  }

  /** The online flow is that of the student's last step. */
  models(): DistillModels {
    const { student, ...info } = this.#studentInfo();
    return {
      student: { info: { ...info, student }, parameters: this.#student.averaged.slice() },
      online: {
        info: { ...info, role: 'online' },
        parameters: this.#onlines.at(-1)!.weights.slice(),
      },
    };
  }

  dispose(): void {
    for (const step of [...this.#onlineSteps, ...this.#studentSteps]) step.dispose();
    for (const learner of [...this.#onlines, this.#student]) learner.dispose();
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

  #trainedStep(iteration: number): number {
    return trainedStep(this.#onlines.length, this.#job.seed, iteration);
  }

  async #feed(step: GradientStep, draws: Draws, draw: number, trained: number): Promise<void> {
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
      const time = await this.#walk.toStep(trained, z, labels, shared);
      (step.feed('studentTime') as Float32Array).fill(time);
    }
  }

  async #feedRealData(step: GradientStep, draw: number): Promise<void> {
    const { realData, seed, batch, online, teacher } = this.#job;
    if (!realData) return;
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
