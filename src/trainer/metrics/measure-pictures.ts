/** @file How far a model's pictures are from the data, in the space of a feature extractor and by their detail. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import type { FlowModel } from '../run/model.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import { extractFeatures, type FeatureExtractor } from './extractor.ts';
import { featuresOfArray } from './feature-source.ts';
import {
  type FeatureMetric,
  FINE_DETAIL_GAP,
  FINE_DETAIL_GAP_NAME,
  type Figures,
  type Measured,
  type PictureMetric,
} from './figures.ts';
import { MeasuredSampler, type SamplingOptions } from './measured-sampler.ts';
import { fineDetailGap } from './power-spectrum.ts';
import { type Pictures, toPictures } from './preprocessing.ts';
import {
  dataSpectrum,
  meanSpectrum,
  PICTURES_PART,
  ReferencePictures,
  spectrumIndices,
} from './reference-pictures.ts';
import { DEFAULT_NEIGHBOURS, type FeatureScores, scoreFeatures } from './score-features.ts';

/** Of KID's subsets. */
const METRICS_SEED = 0;

export interface PicturesOptions extends SamplingOptions {
  readonly metrics: readonly PictureMetric[];
  readonly count: number;
}

type PictureShape = readonly [channels: number, height: number, width: number];

/**
 * Scores of the samples against all pictures of the set; without an extractor their detail alone. Throws as `checkPictures`,
 * DIVERGED for samples that are not finite, and INTERRUPTED.
 */
export async function measurePictures(
  model: FlowModel,
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
  options: PicturesOptions,
  signal?: AbortSignal,
): Promise<Measured> {
  const { metrics, count } = options;
  const shape = checkPictures(model.info.network, dataset, extractor, options);
  const reference = extractor && (await ReferencePictures.of(dataset, extractor, signal));
  using sampler = new MeasuredSampler(model, options, Math.min(PICTURES_PART, count), count);
  const wantsSpectrum = metrics.includes(FINE_DETAIL_GAP);
  const picture = sizeOf(shape);
  const indices = wantsSpectrum ? spectrumIndices(count) : [];
  const seen = new Float32Array(indices.length * picture);
  const transitions = model.info.student?.grid.length ?? 1;
  async function* parts(): AsyncGenerator<Pictures> {
    for (let from = 0; from < count; from += PICTURES_PART) {
      const size = Math.min(PICTURES_PART, count - from);
      const draw = (transition: number) => (from / PICTURES_PART) * transitions + transition;
      const samples = await sampler.part(from, size, draw, signal);
      for (const [i, index] of indices.entries()) {
        if (index < from || index >= from + size) continue;
        const at = (index - from) * picture;
        seen.set(samples.subarray(at, at + picture), i * picture);
      }
      yield toPictures(samples, [size, ...shape]);
    }
  }
  const { scores, notices } =
    extractor && reference
      ? await scoresOf(parts(), extractor, reference, metrics, signal)
      : await unscored(parts());
  const figures: Record<string, Figures[string]> = Object.fromEntries(
    scores.map(({ name, value, std }) => [name, { value, ...(std !== undefined && { std }) }]),
  );
  if (wantsSpectrum) {
    const found = await meanSpectrum(seen, shape, signal);
    const real = await dataSpectrum(dataset, signal);
    figures[FINE_DETAIL_GAP_NAME] = { value: fineDetailGap(found, real) };
  }
  return { figures, secondsPerSample: sampler.secondsPerSample, notices };
}

async function scoresOf(
  parts: AsyncIterable<Pictures>,
  extractor: FeatureExtractor,
  reference: ReferencePictures,
  metrics: readonly PictureMetric[],
  signal: AbortSignal | undefined,
): Promise<FeatureScores> {
  const fake = await extractFeatures(extractor, parts, signal);
  return scoreFeatures(
    {
      real: reference.source,
      fake: featuresOfArray('the samples', fake.features, extractor.dim),
      ...(fake.logits && {
        logits: featuresOfArray('the samples', fake.logits, fake.logits.length / fake.count),
      }),
      extractor: extractor.declared.name,
      metrics: metrics.filter((metric): metric is FeatureMetric => metric !== FINE_DETAIL_GAP),
      neighbours: DEFAULT_NEIGHBOURS,
      seed: METRICS_SEED,
      realStatistics: () => reference.statistics(signal),
    },
    signal,
  );
}

/** Only has the samples made. */
async function unscored(parts: AsyncIterable<Pictures>): Promise<FeatureScores> {
  for await (const _ of parts);
  return { scores: [], notices: [] };
}

/**
 * The shape of a picture, after all checks that need no samples. Throws SHAPE_MISMATCH and DATASET_INVALID for what cannot be
 * compared, and VALUE_OUT_OF_RANGE where there are too few samples for the space.
 */
export function checkPictures(
  network: NetworkConfig,
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
  { metrics, count }: Pick<PicturesOptions, 'metrics' | 'count'>,
): PictureShape {
  const { name, shape, whole } = dataset;
  const made = sampleShape(network);
  const isPicture = made.length === 3 && (made[0] === 1 || made[0] === 3);
  if (!isPicture || !sameShape(made, shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `samples of [${made.join(', ')}] cannot be compared with ${name} of [${shape.join(', ')}] as pictures`,
      { field: 'dataset', hint: 'Take data of the same size and channels as the model makes.' },
    );
  }
  if (!whole) {
    throw new FlowstepError('DATASET_INVALID', `${name} is no set of pictures`, {
      field: 'dataset',
    });
  }
  const [channels = 0, height = 0, width = 0] = shape;
  extractor?.requireFits([1, channels, height, width]);
  if (extractor && metrics.includes('fid')) {
    requireEnough(extractor, 'the samples', count, 'count');
    requireEnough(extractor, name, whole.count, 'dataset');
  }
  return [channels, height, width];
}

/** Throws VALUE_OUT_OF_RANGE where FID would be of a singular covariance, and far too high. */
export function requireEnough(
  { dim, declared }: FeatureExtractor,
  what: string,
  count: number,
  field: string,
): void {
  if (count > dim) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `${what}: ${count} pictures are too few for FID in the space of ${declared.name}, which has ${dim} dimensions`,
    {
      field,
      hint: `Give more than ${dim}, better ten times as many, or leave out fid: kid and recall need fewer.`,
    },
  );
}
