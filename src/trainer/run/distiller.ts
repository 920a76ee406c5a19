/**
 * @file Distils a teacher into a student by Flow Generator Matching (algorithm: K online updates, one student update).
 *
 * A student of several steps is trained at one of them in each iteration, with the gradient through that step alone.
 * Each step has an online flow of its own: one flow for all would learn their mixture, and the student could match
 * the teacher in the mixture while each step misses it (measured: docs/architecture.md).
 */
import type { Json } from '../files/canonical-json.ts';
import { sampleShape } from '../nn/config.ts';
import type { LoraConfig } from '../nn/lora.ts';
import { parameterList } from '../nn/network.ts';
import type { ParameterList } from '../nn/parameters.ts';
import { USUAL_ADAM } from '../optim/adam.ts';
import { runRate, type Stretch } from '../optim/schedule.ts';
import { engine } from '../runtime/engine.ts';
import { float32, sameShape, sizeOf, type Tensor } from '../tensor.ts';
import {
  type ConditionSource,
  conditionFeeds,
  conditionSource,
  writeCondition,
  zeros,
} from './conditions.ts';
import { GanFeed, RealFeed, UpdateFeed } from './distill-feeds.ts';
import {
  checkBases,
  checkJob,
  type DistillJob,
  factsOf,
  learnedParameters,
  onlineParameters,
  onlineStart,
  studentStart,
} from './distill-job.ts';
import { EMPTY, GAN_ON, onlineLoss, studentLoss } from './distill-losses.ts';
import { FrozenNetwork } from './frozen.ts';
import { TRAINED } from './gradient-graph.ts';
import { GradientStep } from './gradient-step.ts';
import { Learner, stateOf } from './learner.ts';
import type { FlowModel } from './model.ts';
import { Pacer } from './pacer.ts';
import { Preview } from './preview.ts';
import { StudentWalk, trainedStep } from './student-walk.ts';
import type { StepResult, Trainer } from './trainer.ts';

type DistillModels = { readonly student: FlowModel; readonly online: FlowModel };

/** beta1 is 0 unless asked for: other values can break the alternation (RealUID, SiD). */
export const ADAM = { ...USUAL_ADAM, beta1: 0 } as const;

export class Distiller implements Trainer<DistillModels> {
  readonly watched = 'loss/online';
  readonly sampleSize: number;
  readonly configuration: Readonly<Record<string, Json>>;
  readonly state: ReadonlyMap<string, Float32Array>;
  readonly #job: DistillJob;
  readonly #conditions: ConditionSource;
  /** The configuration but for network and student settings, which a model file has places of their own for. */
  readonly #facts: Readonly<Record<string, Json>>;
  readonly #teacher: FrozenNetwork;
  readonly #student: Learner;
  /** One for each step of the student, as are the programs. */
  readonly #onlines: readonly Learner[];
  readonly #onlineSteps: readonly GradientStep[];
  readonly #studentSteps: readonly GradientStep[];
  readonly #onlineFeed: UpdateFeed;
  readonly #studentFeed: UpdateFeed;
  readonly #realFeed: RealFeed | undefined;
  readonly #onlineGan: GanFeed | undefined;
  readonly #studentGan: GanFeed | undefined;
  /** 1 once the discriminator takes part. */
  readonly #ganOn = new Float32Array(1);
  /** For students of several steps: takes latents to the step that is trained. */
  readonly #walk: StudentWalk | undefined;
  readonly #preview: Preview;
  #stretch: Stretch | undefined;
  readonly #pacer = new Pacer();

  /** Throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE when teacher, online flow and real data do not fit together. */
  constructor(job: DistillJob) {
    this.#job = job;
    const { teacher, batch, seed, online, realData, gan } = job;
    const { network } = teacher.info;
    this.#conditions = conditionSource(network, job.prompts);
    const { count: choices, tokens } = this.#conditions;
    checkJob(job, choices);
    this.sampleSize = sizeOf(sampleShape(network));
    this.#facts = factsOf(job);
    checkBases(job, String(this.#facts['teacher']));
    this.configuration = { network, student: job.student, ...this.#facts };

    const options = {
      ...ADAM,
      beta1: job.beta1 ?? ADAM.beta1,
      clipNorm: job.clipNorm,
      clipValue: job.clipValue,
      emaDecay: job.emaDecay,
    };
    const list = learnedParameters(job, job.lora);
    const onlineList = onlineParameters(job);
    const [gradient, onlineGradient] = gradientMemory(list, onlineList);
    const start = studentStart(job, list);
    this.#student = new Learner('student', list, start, { ...options, ema: true }, gradient);
    this.#onlines = job.student.grid.map(() => {
      const onlineWeights = onlineStart(job, onlineList);
      const own = { ...options, ema: false };
      return new Learner('online', onlineList, onlineWeights, own, onlineGradient);
    });
    this.state = stateOf({
      student: this.#student,
      ...Object.fromEntries(this.#onlines.map((learner, k) => [`online-${k}`, learner])),
    });

    this.#onlineFeed = new UpdateFeed(job, this.#conditions, 'online');
    this.#studentFeed = new UpdateFeed(job, this.#conditions, 'student');
    this.#realFeed = realData && new RealFeed(job, this.#conditions);
    this.#onlineGan = gan && new GanFeed(job, this.#conditions, 'online');
    this.#studentGan = gan && new GanFeed(job, this.#conditions, 'student');
    this.#teacher = new FrozenNetwork(parameterList(network), teacher.parameters);
    const constants = {
      ...(job.guidance && this.#emptyCondition()),
      ...(gan && { [GAN_ON]: float32(this.#ganOn, []) }),
    };
    this.#onlineSteps = this.#onlines.map(
      (learner) =>
        new GradientStep({
          name: 'online gradient',
          network,
          batch,
          learner,
          frozen: { student: this.#student, teacher: this.#teacher },
          adapters: { student: job.lora, [TRAINED]: online.lora },
          feeds: {
            ...this.#onlineFeed.specs,
            ...this.#realFeed?.specs,
            ...this.#onlineGan?.specs,
          },
          constants,
          dropout: online.dropout,
          recompute: job.recompute,
          build: (field, values) => onlineLoss(job, field, values),
        }),
    );
    this.#studentSteps = this.#onlines.map(
      (learner) =>
        new GradientStep({
          name: 'student gradient',
          network,
          batch,
          learner: this.#student,
          frozen: { teacher: this.#teacher, online: learner },
          adapters: { [TRAINED]: job.lora, online: online.lora },
          feeds: { ...this.#studentFeed.specs, ...this.#studentGan?.specs },
          constants,
          recompute: job.recompute,
          build: (field, values) => studentLoss(job, field, values),
        }),
    );

    this.#walk =
      job.student.grid.length > 1
        ? new StudentWalk(
            this.#studentModel(this.#student.weights),
            this.#student,
            batch,
            tokens,
            seed,
          )
        : undefined;
    this.#preview = new Preview(this.averaged(), this.#conditions, seed);
  }

  /** K online updates and one student update. */
  async step(index: number): Promise<StepResult> {
    const { online, gan } = this.#job;
    const trained = this.#trainedStep(index);
    const learner = this.#onlines[trained]!;
    const onlineStep = this.#onlineSteps[trained]!;
    const studentStep = this.#studentSteps[trained]!;
    const factor = runRate(1, this.#job, index, this.#stretch);
    this.#ganOn[0] = gan && index >= gan.start ? 1 : 0;
    let metrics: Record<string, number> = {};
    for (let k = 0; k < online.updates; k++) {
      const draw = index * online.updates + k;
      await this.#feed(onlineStep, this.#onlineFeed, draw, trained);
      await this.#realFeed?.write(onlineStep, draw);
      await this.#onlineGan?.write(onlineStep, draw);
      const { loss, flow, discriminator } = await onlineStep.run(this.#pacer, () =>
        this.#onlineFeed.drawAhead(draw + 1),
      );
      const norm = await learner.update(loss!, online.learningRate * factor, this.#pacer);
      if (!Number.isFinite(norm)) return { metrics, notFinite: 'the gradient of the online flow' };
      metrics = {
        'loss/online': flow ?? loss!,
        'norm/online': norm,
        ...(discriminator !== undefined && { 'loss/discriminator': discriminator }),
      };
    }
    await this.#feed(studentStep, this.#studentFeed, index, trained);
    await this.#studentGan?.write(studentStep, index);
    const { loss, distance, deception } = await studentStep.run(this.#pacer, () =>
      this.#studentFeed.drawAhead(index + 1),
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
        ...(deception !== undefined && { 'loss/deception': deception }),
      },
    };
  }

  resumeAt(steps: number, stretch?: Stretch): void {
    this.#stretch = stretch;
    this.#student.resumeAt(steps);
    for (const learner of this.#onlines) learner.resumeAt(0);
    for (let i = 0; i < steps; i++) {
      this.#onlines[this.#trainedStep(i)]!.updates += this.#job.online.updates;
    }
  }

  async download(): Promise<void> {
    for (const learner of [this.#student, ...this.#onlines]) await learner.download();
  }

  async samples(signal?: AbortSignal) {
    await this.#student.download('ema');
    return this.#preview.samples(signal);
  }

  averaged(): FlowModel {
    return this.#studentModel(this.#student.averaged);
  }

  /** The online flow is that of the student's last step. */
  models(): DistillModels {
    const { lora } = this.#job.online;
    // A discriminator's head comes after the weights of the flow.
    const weights = this.#onlines
      .at(-1)!
      .weights.subarray(0, learnedParameters(this.#job, lora).size);
    const online = this.#model('online', weights, lora);
    return {
      student: copied(this.averaged()),
      online: copied(online),
    };
  }

  dispose(): void {
    for (const step of [...this.#onlineSteps, ...this.#studentSteps]) step.dispose();
    for (const learner of [...this.#onlines, this.#student]) learner.dispose();
    this.#teacher[Symbol.dispose]();
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

  async #feed(step: GradientStep, feed: UpdateFeed, draw: number, trained: number): Promise<void> {
    const { condition, shared } = await feed.write(step, draw);
    if (!this.#walk) return;
    const time = await this.#walk.toStep(
      trained,
      step.feed('z') as Float32Array,
      condition,
      shared,
    );
    (step.feed('studentTime') as Float32Array).fill(time);
  }
}

/** The model with weights that stay as they are; a base that others share is not copied. */
function copied({ info, parameters, adapters }: FlowModel): FlowModel {
  if (!adapters) return { info, parameters: parameters.slice() };
  return { info, parameters, adapters: { ...adapters, parameters: adapters.parameters.slice() } };
}

/**
 * Where two learners leave their gradients: in the same memory, as they take turns, while every parameter of the one lies where
 * it lies for the other. What is fixed has no gradient and must be left at zero.
 */
function gradientMemory(a: ParameterList, b: ParameterList) {
  const [shorter, longer] = a.size < b.size ? [a, b] : [b, a];
  const isShared = shorter.specs.every(({ name, shape }, i) => {
    const other = longer.specs[i];
    return other?.name === name && sameShape(other.shape, shape);
  });
  const memory = new Float32Array(isShared ? longer.size : 0);
  const of = ({ size }: ParameterList) =>
    isShared ? memory.subarray(0, size) : new Float32Array(size);
  return [of(a), of(b)] as const;
}
