/** @file Scores of Fashion-MNIST pictures against the test split, in the space of models/fashion/features.onnx. */
import { fileURLToPath } from 'node:url';
import { findFashionMnist } from '../src/trainer/data/fashion-mnist.ts';
import { readIdx } from '../src/trainer/data/idx.ts';
import type { Guidance } from '../src/trainer/flow/guidance.ts';
import { type ExtractedFeatures, FeatureExtractor } from '../src/trainer/metrics/extractor.ts';
import { featuresOfArray } from '../src/trainer/metrics/feature-source.ts';
import { toPictures } from '../src/trainer/metrics/preprocessing.ts';
import { type Metric, scoreFeatures } from '../src/trainer/metrics/score-features.ts';
import { fillNormalAsync } from '../src/trainer/random/philox.ts';
import { STREAMS } from '../src/trainer/random/streams.ts';
import type { FlowModel } from '../src/trainer/run/model.ts';
import { sample } from '../src/trainer/run/sample.ts';
import type { Solver } from '../src/trainer/run/sample-request.ts';
import { float32 } from '../src/trainer/tensor.ts';

const SHIPPED = fileURLToPath(new URL('../models/fashion/features.onnx', import.meta.url));
const SIDE = 28;
const CLASSES = 10;

/** Pictures with their classes, as the classifier sees them. */
interface Seen extends ExtractedFeatures {
  readonly labels: ArrayLike<number>;
}

export interface FashionScores {
  /** FID against the test split. */
  readonly score: number;
  readonly precision?: number;
  readonly recall?: number;
  /** Share of samples that the classifier takes for the class they were asked to be. */
  readonly accuracy: number;
}

export interface Sampling {
  readonly solver: Solver;
  readonly steps?: number;
  readonly count: number;
  readonly seed?: number;
  /** Classifier-free guidance; left out = none. */
  readonly guidance?: Guidance;
}

/** The test split in a classifier's space, to measure others against. */
export class FashionMeasure implements Disposable {
  readonly #extractor: FeatureExtractor;
  readonly #test: Seen;

  private constructor(extractor: FeatureExtractor, test: Seen) {
    this.#extractor = extractor;
    this.#test = test;
  }

  static async open(features = SHIPPED): Promise<FashionMeasure> {
    const extractor = await FeatureExtractor.open(features);
    return new FashionMeasure(extractor, await seen(extractor, 'test', 10_000));
  }

  [Symbol.dispose](): void {
    this.#extractor[Symbol.dispose]();
  }

  /** The first pictures of the training split, which are as near as samples can be expected to come. */
  async training(count: number, metrics: readonly Metric[]): Promise<FashionScores> {
    return this.#scores(await seen(this.#extractor, 'train', count), metrics);
  }

  /** The classifier on the test split itself. */
  accuracy(): number {
    return accuracyOf(this.#test);
  }

  /** Samples of as many pictures of each class. */
  async model(
    model: FlowModel,
    sampling: Sampling,
    metrics: readonly Metric[],
  ): Promise<FashionScores & { seconds: number }> {
    const { count, seed = 1 } = sampling;
    const noise = new Float32Array(count * SIDE ** 2);
    await fillNormalAsync(noise, seed, STREAMS.evaluation, 0);
    const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
    const started = performance.now();
    const samples = await sample(model, {
      solver: sampling.solver,
      ...(sampling.steps !== undefined && { steps: sampling.steps }),
      noise: float32(noise, [count, 1, SIDE, SIDE]),
      labels,
      ...(sampling.guidance && { guidance: sampling.guidance }),
    });
    const seconds = (performance.now() - started) / 1000;
    const pictures = toPictures(samples.data, [count, 1, SIDE, SIDE]);
    const found = { ...(await this.#extractor.extract(pictures)), labels };
    return { ...(await this.#scores(found, metrics)), seconds };
  }

  async #scores(found: Seen, metrics: readonly Metric[]): Promise<FashionScores> {
    const { dim, declared } = this.#extractor;
    const { scores } = await scoreFeatures({
      real: featuresOfArray('the test split', this.#test.features, dim),
      fake: featuresOfArray('the samples', found.features, dim),
      extractor: declared.name,
      metrics: ['fid', ...metrics],
      neighbours: 3,
      seed: 0,
    });
    const { fid, ...others } = Object.fromEntries(scores.map((s) => [s.metric, s.value]));
    return { score: fid!, ...others, accuracy: accuracyOf(found) };
  }
}

async function seen(
  extractor: FeatureExtractor,
  split: 'train' | 'test',
  count: number,
): Promise<Seen> {
  const paths = await findFashionMnist(split);
  const images = await readIdx(paths.images);
  const labels = await readIdx(paths.labels);
  const data = images.data.subarray(0, count * SIDE ** 2);
  const found = await extractor.extract({ shape: [count, 1, SIDE, SIDE], data });
  return { ...found, labels: labels.data.subarray(0, count) };
}

function accuracyOf({ count, logits, labels }: Seen): number {
  let right = 0;
  for (let i = 0; i < count; i++) {
    const row = logits!.subarray(i * CLASSES, (i + 1) * CLASSES);
    if (row.indexOf(row.reduce((a, b) => Math.max(a, b))) === labels[i]) right++;
  }
  return right / count;
}
