/** @file Trains a teacher by flow matching. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import type { PromptSet } from '../data/prompts.ts';
import type { Json } from '../files/canonical-json.ts';
import { fillTimes } from '../flow/density.ts';
import { linearPath } from '../flow/path.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import { initialise } from '../nn/parameters.ts';
import { USUAL_ADAM } from '../optim/adam.ts';
import { runRate, type Stretch } from '../optim/schedule.ts';
import { fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { engine } from '../runtime/engine.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import {
  type ConditionSource,
  conditionFeeds,
  conditionIn,
  conditionSource,
  NO_CONDITION,
  writeCondition,
} from './conditions.ts';
import {
  augmented,
  type FlowTraining,
  FlowTrainingFeed,
  flowTrainingFacts,
  weightOf,
} from './flow-training.ts';
import { TRAINED } from './gradient-graph.ts';
import { GradientStep } from './gradient-step.ts';
import { Learner, stateOf } from './learner.ts';
import { type LoopOptions, loopConfiguration } from './loop-options.ts';
import { type FlowModel, type ModelInfo, weightsHash } from './model.ts';
import { NoiseFeed } from './noise-feed.ts';
import { Pacer } from './pacer.ts';
import { Preview } from './preview.ts';
import type { StepResult, Trainer } from './trainer.ts';

export interface TeacherJob extends LoopOptions, FlowTraining {
  readonly dataset: Dataset;
  readonly network: NetworkConfig;
  /** A model of this network whose weights are the first ones, instead of random ones. */
  readonly start?: FlowModel;
  /** For networks that take text: one prompt for each class of the data, in their order. */
  readonly prompts?: PromptSet;
}

type TeacherModels = { readonly teacher: FlowModel };

/** Share of samples that are trained without their condition, so that the teacher also knows the unconditional flow. */
const CONDITION_DROPOUT = 0.1;

export class TeacherTrainer implements Trainer<TeacherModels> {
  readonly watched = 'loss/teacher';
  readonly sampleSize: number;
  readonly configuration: Readonly<Record<string, Json>>;
  readonly state: ReadonlyMap<string, Float32Array>;
  readonly #job: TeacherJob;
  /** The configuration but for network and data set, which a model file has places of their own for. */
  readonly #facts: Readonly<Record<string, Json>>;
  readonly #conditions: ConditionSource;
  readonly #learner: Learner;
  readonly #step: GradientStep;
  readonly #noise: NoiseFeed;
  readonly #training: FlowTrainingFeed;
  readonly #drop: Float32Array;
  readonly #pacer = new Pacer();
  readonly #preview: Preview;
  #stretch: Stretch | undefined;

  /** Throws SHAPE_MISMATCH when network and data set do not fit. */
  constructor(job: TeacherJob) {
    const { dataset, network, start, prompts, batch, seed } = job;
    this.#conditions = conditionSource(network, prompts);
    requireFit(job, this.#conditions.count);
    this.#job = job;
    const shape = sampleShape(network);
    this.sampleSize = sizeOf(shape);
    this.#facts = {
      method: 'flow-matching',
      ...(start && { start: weightsHash(start) }),
      ...(prompts && { prompts: { name: prompts.name, hash: prompts.hash } }),
      ...flowTrainingFacts(job),
      ...loopConfiguration(job),
    };
    this.configuration = {
      network,
      dataset: { name: dataset.name, hash: dataset.hash },
      ...this.#facts,
    };
    const list = parameterList(network);
    // The learner writes to its weights, and a model's are shared.
    const weights = start?.parameters.slice() ?? initialise(list, seed);
    this.#learner = new Learner('teacher', list, weights, {
      ...USUAL_ADAM,
      clipNorm: job.clipNorm,
      clipValue: job.clipValue,
      ema: true,
      emaDecay: job.emaDecay,
    });
    this.state = stateOf({ teacher: this.#learner });
    this.#training = new FlowTrainingFeed(network, job, seed);
    this.#step = new GradientStep({
      name: 'teacher gradient',
      network,
      batch,
      learner: this.#learner,
      frozen: {},
      feeds: {
        x0: { shape },
        x1: { shape },
        t: { shape: [] },
        ...conditionFeeds(network, this.#conditions.tokens),
        ...this.#training.specs,
      },
      dropout: job.dropout,
      recompute: job.recompute,
      build: (field, feeds) => {
        const { x1, t } = feeds;
        const { x, augment } = augmented(feeds['x0']!, feeds);
        const { xt, c } = linearPath(x, x1!, t!);
        const condition = { ...conditionIn(feeds, x.shape[0]!), augment };
        const v = field(TRAINED)(xt, t!, condition);
        return { loss: flowMatchingLoss(v, c, weightOf(job, network, t!)) };
      },
    });
    this.#noise = new NoiseFeed(batch * this.sampleSize, seed, STREAMS.teacherNoise);
    this.#drop = new Float32Array(batch);
    const shown = { info: this.#info(), parameters: this.#learner.averaged };
    this.#preview = new Preview(shown, this.#conditions, seed);
  }

  async step(index: number): Promise<StepResult> {
    const { dataset, network, batch, seed, density } = this.#job;
    const step = this.#step;
    const data = dataset.batch(seed, index, batch);
    (step.feed('x0') as Float32Array).set(data.x);
    await this.#noise.writeTo(step.feed('x1') as Float32Array, index);
    fillTimes(step.feed('t') as Float32Array, density, seed, STREAMS.teacherTime, index);
    await this.#training.write(step, index);
    if (this.#conditions.count > 0) {
      fillUniform(this.#drop, seed, STREAMS.labels, index);
      const choices = data.labels!.map((label, k) =>
        this.#drop[k]! < CONDITION_DROPOUT ? NO_CONDITION : label,
      );
      const rows = await this.#conditions.rows(choices);
      writeCondition(network, rows, (name) => step.feed(name), 0, batch);
    }
    const { loss } = await step.run(this.#pacer, () => this.#noise.fill(index + 1));
    const rate = runRate(this.#job.learningRate, this.#job, index, this.#stretch);
    const norm = await this.#learner.update(loss!, rate, this.#pacer);
    if (!Number.isFinite(norm)) return { metrics: {}, notFinite: 'the loss' };
    return { metrics: { 'loss/teacher': loss!, 'norm/teacher': norm, 'rate/teacher': rate } };
  }

  resumeAt(steps: number, stretch?: Stretch): void {
    this.#stretch = stretch;
    this.#learner.resumeAt(steps);
  }

  download(): Promise<void> {
    return this.#learner.download();
  }

  async samples(signal?: AbortSignal) {
    await this.#learner.download('ema');
    return this.#preview.samples(signal);
  }

  averaged(): FlowModel {
    return { info: this.#info(), parameters: this.#learner.averaged };
  }

  models(): TeacherModels {
    return { teacher: { info: this.#info(), parameters: this.#learner.averaged.slice() } };
  }

  dispose(): void {
    this.#step.dispose();
    this.#learner.dispose();
    this.#preview.dispose();
  }

  #info(): ModelInfo {
    const { dataset, network } = this.#job;
    const training = { steps: this.#learner.updates, ...this.#facts, threads: engine().threads };
    return {
      role: 'teacher',
      network,
      dataset: { name: dataset.name, hash: dataset.hash },
      training: JSON.parse(JSON.stringify(training)),
    };
  }
}

function requireFit({ network, dataset, start }: TeacherJob, classes: number): void {
  const shape = sampleShape(network);
  if (sameShape(shape, dataset.shape) && (classes === 0 || classes === dataset.classes)) return;
  const what = start ? 'the model to start from' : 'the network';
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `${what} makes samples of [${shape.join(', ')}] with ${classes} classes, the data set ${dataset.name} has [${dataset.shape.join(', ')}] with ${dataset.classes}`,
    start
      ? {
          field: 'start',
          hint: 'Use data of the form that it was trained on, or start from nothing.',
        }
      : { hint: 'choose a network for this data set, or 0 classes' },
  );
}
