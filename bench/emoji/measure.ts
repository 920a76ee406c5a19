/** @file How often samples are nearest to pictures of the caption that they were asked to be. */

import type { PromptSet } from '../../src/trainer/data/prompts.ts';
import { featuresOfArray } from '../../src/trainer/metrics/feature-source.ts';
import { DEFAULT_NEIGHBOURS, scoreFeatures } from '../../src/trainer/metrics/score-features.ts';
import { fillNormalAsync } from '../../src/trainer/random/philox.ts';
import { STREAMS } from '../../src/trainer/random/streams.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { sample } from '../../src/trainer/run/sample.ts';
import { float32, sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { FEATURES } from '../fashion-classifier.ts';
import { CAPTIONS } from './captions.ts';
import { classify } from './classifier.ts';
import { type EmojiPictures, SHAPE } from './pictures.ts';

const SIZE = sizeOf(SHAPE);
const CLASSES = CAPTIONS.length;
const NEAREST = 5;

/** Shares of samples. */
export interface EmojiScores {
  /** The nearest real picture has the caption that was asked for. */
  readonly top1: number;
  /** That caption is among the five whose pictures are nearest. */
  readonly top5: number;
  /** Mean distance to the nearest real picture of the caption; 1 is what real pictures have to their nearest. */
  readonly distance: number;
  /** Frechet distance to the real pictures. */
  readonly frechet: number;
}

export interface Sampling {
  /** Euler steps of a teacher; left out = one step of a student. */
  readonly steps?: number;
  readonly guidance?: number;
  readonly count: number;
  readonly seed: number;
}

/** Samples of as many pictures of each caption, in turn. */
export async function emojiSamples(
  model: FlowModel,
  prompts: PromptSet,
  { steps, guidance = 1, count, seed }: Sampling,
): Promise<Tensor<'float32'>> {
  const noise = new Float32Array(count * SIZE);
  await fillNormalAsync(noise, seed, STREAMS.evaluation, 0);
  const { empty } = prompts;
  return sample(model, {
    ...(steps === undefined
      ? { solver: 'one-step' as const }
      : { solver: 'euler' as const, steps }),
    noise: float32(noise, [count, ...SHAPE]),
    text: await prompts.rows(Int32Array.from({ length: count }, (_, i) => i % CLASSES)),
    ...(guidance > 1 && { guidance: { scale: guidance, negative: { text: empty } } }),
  });
}

/** Real pictures as the classifier sees them, to compare others with. */
export class EmojiMeasure {
  readonly #weights: Float32Array;
  readonly #labels: Int32Array;
  readonly #real: Float32Array;
  /** Mean distance of a real picture to the nearest other one of its caption. */
  readonly #unit: number;

  private constructor(weights: Float32Array, labels: Int32Array, real: Float32Array) {
    this.#weights = weights;
    this.#labels = labels;
    this.#real = real;
    this.#unit = 1;
    const own = Array.from(labels, (label, i) => {
      const features = real.subarray(i * FEATURES, (i + 1) * FEATURES);
      return this.#distances(features, i)[label]!;
    });
    this.#unit = own.reduce((a, b) => a + b) / own.length;
  }

  static async of(weights: Float32Array, { pixels, labels }: EmojiPictures): Promise<EmojiMeasure> {
    const real = Float32Array.from(pixels, (byte) => byte / 127.5 - 1);
    return new EmojiMeasure(weights, labels, (await classify(weights, real)).features);
  }

  /** Of samples whose captions come in turn. */
  async scores(samples: Tensor<'float32'>): Promise<EmojiScores> {
    const count = samples.shape[0]!;
    const { features } = await classify(this.#weights, samples.data.map(clamp));
    let [top1, top5, sum] = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const distances = this.#distances(features.subarray(i * FEATURES, (i + 1) * FEATURES));
      const own = distances[i % CLASSES]!;
      const rank = distances.filter((d) => d < own).length;
      if (rank === 0) top1++;
      if (rank < NEAREST) top5++;
      sum += own;
    }
    return {
      top1: top1 / count,
      top5: top5 / count,
      distance: sum / count / this.#unit,
      frechet: await this.#frechet(features),
    };
  }

  async #frechet(features: Float32Array): Promise<number> {
    const { scores } = await scoreFeatures({
      real: featuresOfArray('the real pictures', this.#real, FEATURES),
      fake: featuresOfArray('the samples', features, FEATURES),
      extractor: 'emoji-classifier',
      metrics: ['fid'],
      neighbours: DEFAULT_NEIGHBOURS,
      seed: 0,
    });
    return scores[0]!.value;
  }

  /** Distance to the nearest real picture of each caption. */
  #distances(features: Float32Array, except = -1): Float32Array {
    const nearest = new Float32Array(CLASSES).fill(Number.POSITIVE_INFINITY);
    for (let k = 0; k < this.#labels.length; k++) {
      if (k === except) continue;
      let square = 0;
      for (let d = 0; d < FEATURES; d++) {
        square += (features[d]! - this.#real[k * FEATURES + d]!) ** 2;
      }
      const label = this.#labels[k]!;
      if (square < nearest[label]!) nearest[label] = square;
    }
    return nearest.map(Math.sqrt);
  }
}

const clamp = (x: number): number => Math.min(Math.max(x, -1), 1);
