/**
 * @file Distils a teacher into a student by Flow Generator Matching (algorithm: K online updates, one student update).
 *
 * A student of several steps is trained at one of them in each iteration, with the gradient through that step alone.
 * Each step has an online flow of its own: one flow for all would learn their mixture, and the student could match
 * the teacher in the mixture while each step misses it (measured: docs/architecture.md).
 */
import type { Json } from '../files/canonical-json.ts';
import { fillTimes, type TimeDensity } from '../flow/density.ts';
import { sampleShape } from '../nn/config.ts';
import type { LoraConfig } from '../nn/lora.ts';
import { learningRate } from '../optim/schedule.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import {
  type ConditionSource,
  conditionFeeds,
  conditionSource,
  type FeedSpec,
  randomChoices,
  writeCondition,
  zeros,
} from './conditions.ts';
import {
  checkJob,
  type DistillJob,
  factsOf,
  learnedParameters,
  onlineStart,
  studentStart,
} from './distill-job.ts';
import { EMPTY, onlineLoss, REAL, realFeeds, studentLoss } from './distill-losses.ts';
import { GradientStep, TRAINED } from './gradient-step.ts';
import { Learner, stateOf } from './learner.ts';
import type { FlowModel } from './model.ts';
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
  readonly #conditions: ConditionSource;
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
    const { teacher, batch, seed, online, realData } = job;
    const { network } = teacher.info;
    this.#conditions = conditionSource(network, job.prompts);
    const { count: choices, tokens } = this.#conditions;
    checkJob(job, choices);
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
    const list = learnedParameters(job, job.lora);
    const start = studentStart(job, list);
    this.#student = new Learner('student', list, start, { ...options, ema: true });
    const onlineList = learnedParameters(job, online.lora);
    this.#onlines = job.student.grid.map(() => {
      const onlineWeights = onlineStart(job, onlineList);
      return new Learner('online', onlineList, onlineWeights, { ...options, ema: false });
    });
    this.state = stateOf({
      student: this.#student,
      ...Object.fromEntries(this.#onlines.map((learner, k) => [`online-${k}`, learner])),
    });

    const feeds: Record<string, FeedSpec> = {
      z: { shape },
      x1: { shape },
      t: { shape: [] },
      ...conditionFeeds(network, tokens),
      ...(job.student.grid.length > 1 && { studentTime: { shape: [] } }),
    };
    const constants = job.guidance ? this.#emptyCondition() : {};
    this.#onlineSteps = this.#onlines.map(
      (learner) =>
        new GradientStep({
          name: 'online gradient',
          network,
          batch,
          learner,
          frozen: { student: this.#student.weights, teacher: teacher.parameters },
          adapters: { student: job.lora, [TRAINED]: online.lora },
          feeds: { ...feeds, ...(realData && realFeeds(network, tokens)) },
          constants,
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
          adapters: { [TRAINED]: job.lora, online: online.lora },
          feeds,
          constants,
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
        ? new StudentWalk(this.#studentModel(this.#student.weights), batch, tokens, seed)
        : undefined;
    this.#preview = new Preview(this.#studentModel(this.#student.averaged), this.#conditions, seed);
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
    const online = this.#model('online', this.#onlines.at(-1)!.weights, this.#job.online.lora);
    return {
      student: copied(this.#studentModel(this.#student.averaged)),
      online: copied(online),
    };
  }

  dispose(): void {
    for (const step of [...this.#onlineSteps, ...this.#studentSteps]) step.dispose();
    for (const learner of [...this.#onlines, this.#student]) learner.dispose();
    this.#walk?.dispose();
    this.#preview.dispose();
  }

  /** The student with the weights or adapters in `vector`. */
  #studentModel(vector: Float32Array) {
    const { info, ...weights } = this.#model('student', vector, this.#job.lora);
    return { info: { ...info, student: this.#job.student }, ...weights };
  }

  #model(
    role: 'student' | 'online',
    vector: Float32Array,
    lora: LoraConfig | undefined,
  ): FlowModel {
    const { info, parameters } = this.#job.teacher;
    const { network, dataset } = info;
    const steps = this.#student.updates;
    const training = { steps, ...this.#facts, threads: engine().threads };
    const facts = { role, network, dataset, training: JSON.parse(JSON.stringify(training)) };
    if (!lora) return { info: facts, parameters: vector };
    return {
      info: { ...facts, lora: { config: lora, base: String(this.#facts['teacher']) } },
      parameters,
      adapters: { config: lora, parameters: vector },
    };
  }

  #emptyCondition(): Record<string, Tensor> {
    const { network } = this.#job.teacher.info;
    const { tokens, empty } = this.#conditions;
    const feeds = Object.entries(conditionFeeds(network, tokens, EMPTY));
    const constants = Object.fromEntries(feeds.map(([name, spec]) => [name, zeros(spec, 1)]));
    writeCondition(network, empty, (name) => constants[EMPTY + name]!.data, 0, 1);
    return constants;
  }

  #trainedStep(iteration: number): number {
    return trainedStep(this.#onlines.length, this.#job.seed, iteration);
  }

  async #feed(step: GradientStep, draws: Draws, draw: number, trained: number): Promise<void> {
    const { seed, batch, teacher } = this.#job;
    const z = step.feed('z') as Float32Array;
    await draws.latent.writeTo(z, draw);
    await draws.noise.writeTo(step.feed('x1') as Float32Array, draw);
    fillTimes(step.feed('t') as Float32Array, draws.density, seed, draws.timeStream, draw);
    const shared = 2 * draw + draws.parity;
    const { count } = this.#conditions;
    const condition =
      count > 0 ? await this.#conditions.rows(randomChoices(batch, count, seed, shared)) : {};
    writeCondition(teacher.info.network, condition, (name) => step.feed(name), 0, batch);
    if (this.#walk) {
      const time = await this.#walk.toStep(trained, z, condition, shared);
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
    if (this.#conditions.count === 0) return;
    const condition = await this.#conditions.rows(labels!);
    const memory = (name: string) => step.feed(REAL + name);
    writeCondition(teacher.info.network, condition, memory, 0, batch);
  }

  async #drawAhead(draws: Draws, draw: number): Promise<void> {
    await draws.latent.fill(draw);
    await draws.noise.fill(draw);
  }
}

/** The model with weights that stay as they are; a base that others share is not copied. */
function copied({ info, parameters, adapters }: FlowModel): FlowModel {
  if (!adapters) return { info, parameters: parameters.slice() };
  return { info, parameters, adapters: { ...adapters, parameters: adapters.parameters.slice() } };
}
