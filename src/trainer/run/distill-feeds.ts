/** @file What the updates of a distillation are fed: random draws that are functions of (seed, draw), and real data. */
import { fillTimes, type TimeDensity } from '../flow/density.ts';
import { GAN_TIMES } from '../methods/gan.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { STREAMS } from '../random/streams.ts';
import { sizeOf } from '../tensor.ts';
import {
  type ConditionRows,
  type ConditionSource,
  conditionFeeds,
  type FeedSpec,
  randomChoices,
  writeCondition,
} from './conditions.ts';
import type { DistillJob } from './distill-job.ts';
import { FlowTrainingFeed } from './flow-training.ts';
import type { GradientStep } from './gradient-step.ts';
import { NoiseFeed } from './noise-feed.ts';

/** Names of what belongs to the real samples of the real-data term, and to the discriminator. */
export const REAL = 'real/';
export const GAN = 'gan/';

/** Tells the draws of the two kinds of update apart where they share a stream. */
const PARITY = { online: 0, student: 1 } as const;
type Update = keyof typeof PARITY;

const sharedDraw = (update: Update, draw: number): number => 2 * draw + PARITY[update];

const floats = (step: GradientStep, name: string) => step.feed(name) as Float32Array;

/** What every update is fed; `tokens` is the length of texts, `steps` the student's. */
export function updateSpecs(
  network: NetworkConfig,
  tokens: number,
  steps: number,
): Record<string, FeedSpec> {
  const shape = sampleShape(network);
  return {
    z: { shape },
    x1: { shape },
    t: { shape: [] },
    ...conditionFeeds(network, tokens),
    ...(steps > 1 && { studentTime: { shape: [] } }),
  };
}

/** Latents, noise, times and conditions of one kind of update. */
export class UpdateFeed {
  readonly specs: Readonly<Record<string, FeedSpec>>;
  readonly #job: DistillJob;
  readonly #conditions: ConditionSource;
  readonly #update: Update;
  readonly #latent: NoiseFeed;
  readonly #noise: NoiseFeed;
  readonly #training: FlowTrainingFeed;
  readonly #density: TimeDensity;
  readonly #timeStream: number;

  constructor(job: DistillJob, conditions: ConditionSource, update: Update) {
    this.#job = job;
    this.#conditions = conditions;
    this.#update = update;
    const { seed, batch, teacher, student } = job;
    const shape = sampleShape(teacher.info.network);
    const size = batch * sizeOf(shape);
    const isOnline = update === 'online';
    this.#latent = new NoiseFeed(size, seed, STREAMS[isOnline ? 'onlineLatent' : 'studentLatent']);
    this.#noise = new NoiseFeed(size, seed, STREAMS[isOnline ? 'onlineNoise' : 'studentNoise']);
    this.#timeStream = STREAMS[isOnline ? 'onlineTime' : 'studentTime'];
    this.#density = isOnline ? job.online.density : job.density;
    const { network } = teacher.info;
    this.#training = new FlowTrainingFeed(network, isOnline ? job.online : {}, seed);
    this.specs = {
      ...updateSpecs(network, conditions.tokens, student.grid.length),
      ...this.#training.specs,
    };
  }

  /** Feeds draw number `draw`; gives the conditions and a number that the update's other draws go by. */
  async write(
    step: GradientStep,
    draw: number,
  ): Promise<{ readonly condition: ConditionRows; readonly shared: number }> {
    const { seed, batch, teacher } = this.#job;
    await this.#latent.writeTo(floats(step, 'z'), draw);
    await this.#noise.writeTo(floats(step, 'x1'), draw);
    fillTimes(floats(step, 't'), this.#density, seed, this.#timeStream, draw);
    await this.#training.write(step, draw);
    const { count } = this.#conditions;
    const shared = sharedDraw(this.#update, draw);
    const condition =
      count > 0 ? await this.#conditions.rows(randomChoices(batch, count, seed, shared)) : {};
    writeCondition(teacher.info.network, condition, (name) => step.feed(name), 0, batch);
    return { condition, shared };
  }

  async drawAhead(draw: number): Promise<void> {
    await this.#latent.fill(draw);
    await this.#noise.fill(draw);
  }
}

/** Real samples with noise, times and their conditions, for the real-data term. */
export class RealFeed {
  readonly specs: Readonly<Record<string, FeedSpec>>;
  readonly #job: DistillJob;
  readonly #conditions: ConditionSource;
  readonly #noise: NoiseFeed;

  constructor(job: DistillJob, conditions: ConditionSource) {
    this.#job = job;
    this.#conditions = conditions;
    const { network } = job.teacher.info;
    const shape = sampleShape(network);
    this.#noise = new NoiseFeed(job.batch * sizeOf(shape), job.seed, STREAMS.realNoise);
    this.specs = {
      [`${REAL}x`]: { shape },
      [`${REAL}noise`]: { shape },
      [`${REAL}t`]: { shape: [] },
      ...conditionFeeds(network, conditions.tokens, REAL),
    };
  }

  async write(step: GradientStep, draw: number): Promise<void> {
    const { realData, seed, online } = this.#job;
    await writeReal(step, REAL, realData!.dataset, this.#conditions, this.#job, draw);
    await this.#noise.writeTo(floats(step, `${REAL}noise`), draw);
    fillTimes(floats(step, `${REAL}t`), online.density, seed, STREAMS.realTime, draw);
  }
}

/** Noise and times of the discriminator, and real samples for its own update. */
export class GanFeed {
  readonly specs: Readonly<Record<string, FeedSpec>>;
  readonly #job: DistillJob;
  readonly #conditions: ConditionSource;
  readonly #update: Update;
  readonly #noise: NoiseFeed;
  readonly #realNoise: NoiseFeed;

  constructor(job: DistillJob, conditions: ConditionSource, update: Update) {
    this.#job = job;
    this.#conditions = conditions;
    this.#update = update;
    const { batch, seed, teacher } = job;
    const { network } = teacher.info;
    const shape = sampleShape(network);
    const size = batch * sizeOf(shape);
    this.#noise = new NoiseFeed(size, seed, STREAMS.ganNoise);
    this.#realNoise = new NoiseFeed(size, seed, STREAMS.ganRealNoise);
    this.specs = {
      [`${GAN}noise`]: { shape },
      [`${GAN}t`]: { shape: [] },
      ...(update === 'online' && {
        [`${GAN}x`]: { shape },
        [`${GAN}realNoise`]: { shape },
        ...conditionFeeds(network, conditions.tokens, GAN),
      }),
    };
  }

  async write(step: GradientStep, draw: number): Promise<void> {
    const { gan, seed } = this.#job;
    const shared = sharedDraw(this.#update, draw);
    await this.#noise.writeTo(floats(step, `${GAN}noise`), shared);
    fillTimes(floats(step, `${GAN}t`), GAN_TIMES, seed, STREAMS.ganTime, shared);
    if (this.#update === 'student') return;
    await writeReal(step, GAN, gan!.dataset, this.#conditions, this.#job, draw);
    await this.#realNoise.writeTo(floats(step, `${GAN}realNoise`), draw);
  }
}

async function writeReal(
  step: GradientStep,
  prefix: string,
  dataset: NonNullable<DistillJob['realData']>['dataset'],
  conditions: ConditionSource,
  { seed, batch, teacher }: DistillJob,
  draw: number,
): Promise<void> {
  const { x, labels } = dataset.batch(seed, draw, batch);
  floats(step, `${prefix}x`).set(x);
  if (conditions.count === 0) return;
  const condition = await conditions.rows(labels!);
  const memory = (name: string) => step.feed(prefix + name);
  writeCondition(teacher.info.network, condition, memory, 0, batch);
}
