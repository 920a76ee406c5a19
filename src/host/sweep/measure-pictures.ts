/** @file How far a model's pictures are from the data, in the space of a feature extractor. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../../trainer/data/dataset.ts';
import {
  type ExtractedFeatures,
  extractFeatures,
  FeatureExtractor,
} from '../../trainer/metrics/extractor.ts';
import { featuresOfArray } from '../../trainer/metrics/feature-source.ts';
import { type Pictures, toPictures } from '../../trainer/metrics/preprocessing.ts';
import { DEFAULT_NEIGHBOURS, scoreFeatures } from '../../trainer/metrics/score-features.ts';
import { classCount, sampleShape } from '../../trainer/nn/config.ts';
import { fillNormal } from '../../trainer/random/philox.ts';
import { STREAMS } from '../../trainer/random/streams.ts';
import type { FlowModel } from '../../trainer/run/model.ts';
import { Sampler } from '../../trainer/run/sample.ts';
import { checkRequest, type SampleRequest } from '../../trainer/run/sample-request.ts';
import { float32, sameShape, sizeOf } from '../../trainer/tensor.ts';
import type { Figures, PicturesMeasure } from './measure-schema.ts';

/** Pictures in memory at a time. */
const PART = 500;
/** The same noise for all models, so that they differ by what they learned alone. */
const NOISE_SEED = 1;
/** Of KID's subsets. */
const METRICS_SEED = 0;

/** Features of the data that was measured against last: rows of a sweep have it in common. */
let known: { readonly key: string; readonly features: ExtractedFeatures } | undefined;

/**
 * Scores of the samples against all pictures of the set, by names that say in whose space. Throws SHAPE_MISMATCH and
 * DATASET_INVALID for what cannot be compared, DIVERGED for samples that are not finite, and INTERRUPTED.
 */
export async function measurePictures(
  model: FlowModel,
  dataset: Dataset,
  extractorFile: string,
  measure: PicturesMeasure,
  signal: AbortSignal,
): Promise<Figures> {
  const shape = pictureShape(model, dataset);
  using extractor = await FeatureExtractor.open(extractorFile);
  const real = await realFeatures(extractor, dataset, shape, signal);
  const fake = await extractFeatures(extractor, samples(model, measure, shape, signal), signal);
  const { scores } = await scoreFeatures(
    {
      real: featuresOfArray(dataset.name, real.features, extractor.dim),
      fake: featuresOfArray('the samples', fake.features, extractor.dim),
      ...(fake.logits && {
        logits: featuresOfArray('the samples', fake.logits, fake.logits.length / fake.count),
      }),
      extractor: extractor.declared.name,
      metrics: measure.metrics,
      neighbours: DEFAULT_NEIGHBOURS,
      seed: METRICS_SEED,
    },
    signal,
  );
  return Object.fromEntries(
    scores.map(({ name, value, std }) => [name, { value, ...(std !== undefined && { std }) }]),
  );
}

type PictureShape = readonly [channels: number, height: number, width: number];

function pictureShape({ info }: FlowModel, { name, shape, whole }: Dataset): PictureShape {
  const made = sampleShape(info.network);
  const [channels = 0, height = 0, width = 0] = made;
  const isPicture = made.length === 3 && (channels === 1 || channels === 3);
  if (!isPicture || !sameShape(made, shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `samples of [${made.join(', ')}] cannot be compared with ${name} of [${shape.join(', ')}] as pictures`,
    );
  }
  if (!whole) throw new FlowstepError('DATASET_INVALID', `${name} is no set of pictures`);
  return [channels, height, width];
}

async function realFeatures(
  extractor: FeatureExtractor,
  { hash, whole }: Dataset,
  shape: PictureShape,
  signal: AbortSignal,
): Promise<ExtractedFeatures> {
  const key = `${hash} ${extractor.hash}`;
  if (known?.key === key) return known.features;
  async function* parts(): AsyncGenerator<Pictures> {
    for (let from = 0; from < whole!.count; from += PART) {
      const { x } = whole!.range(from, PART);
      yield toPictures(x, [x.length / sizeOf(shape), ...shape]);
    }
  }
  const features = await extractFeatures(extractor, parts(), signal);
  known = { key, features };
  return features;
}

/** Each class in turn. */
async function* samples(
  model: FlowModel,
  { samples: count, steps }: PicturesMeasure,
  shape: PictureShape,
  signal: AbortSignal,
): AsyncGenerator<Pictures> {
  const { student, network } = model.info;
  const solver = student ? 'one-step' : 'euler';
  const size = sizeOf(shape);
  const classes = classCount(network);
  const sampler = new Sampler(model, solver, Math.min(PART, count));
  const transitions = student?.grid.length ?? 1;
  try {
    for (let from = 0; from < count; from += PART) {
      const part = Math.min(PART, count - from);
      const noise = (k: number) => {
        const values = new Float32Array(part * size);
        fillNormal(values, NOISE_SEED, STREAMS.evaluation, (from / PART) * transitions + k);
        return float32(values, [part, ...shape]);
      };
      const request: SampleRequest = {
        solver,
        noise: noise(0),
        ...(student
          ? { freshNoise: student.grid.slice(1).map((_, k) => noise(k + 1)) }
          : { steps }),
        ...(classes > 0 && {
          labels: Int32Array.from({ length: part }, (_, i) => (from + i) % classes),
        }),
      };
      checkRequest(model, request);
      const { data } = await sampler.run(request, signal);
      if (data.some((x) => !Number.isFinite(x))) {
        throw new FlowstepError('DIVERGED', "the model's samples are not finite");
      }
      yield toPictures(data, [part, ...shape]);
    }
  } finally {
    sampler.dispose();
  }
}
