/** @file How far a model is from data: one measure for the node, the command, sweeps and training. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import type { FlowModel } from '../run/model.ts';
import { sameShape } from '../tensor.ts';
import type { FeatureExtractor } from './extractor.ts';
import {
  FINE_DETAIL_GAP,
  FINE_DETAIL_GAP_NAME,
  type Measured,
  PICTURE_METRICS,
  type PictureMetric,
  POINT_METRICS,
  type PointMetric,
} from './figures.ts';
import { checkPictures, measurePictures } from './measure-pictures.ts';
import { measurePoints } from './measure-points.ts';
import type { SamplingOptions } from './measured-sampler.ts';
import { scoreName } from './score-features.ts';

export interface MeasureOptions extends SamplingOptions {
  /** Samples; of points those of each draw. */
  readonly count: number;
  /** Of points: independent draws that are averaged. */
  readonly draws: number;
  /** Left out or none = all that model, data and extractor allow, but for shares of single modes. */
  readonly metrics?: readonly string[] | undefined;
}

/** Least side of pictures that have fine detail. */
const LEAST_SPECTRUM_SIDE = 4;

/** What a reader should know of pictures that nothing has looked at but their spectrum. */
const DETAIL_ALONE =
  'no feature extractor is named, so that pictures are compared by fine detail alone: it tells blur and checkered grids, but neither what is shown nor how varied it is';

/**
 * The metrics of the model's samples against the data: points draw by draw, pictures in the extractor's space against the
 * whole set. Throws as `checkMeasure`, DIVERGED for samples that are not finite, and INTERRUPTED.
 */
export async function measureModel(
  model: FlowModel,
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
  options: MeasureOptions,
  signal?: AbortSignal,
): Promise<Measured> {
  checkMeasure(model.info.network, dataset, extractor, options);
  if (isPlane(dataset)) {
    const metrics = pointMetrics(options.metrics);
    return measurePoints(model, dataset, { ...options, metrics }, signal);
  }
  const metrics = pictureMetrics(options.metrics, dataset, extractor);
  const seenBy = extractorFor(metrics, extractor);
  const found = await measurePictures(model, dataset, seenBy, { ...options, metrics }, signal);
  const isFallback = !extractor && !options.metrics?.length;
  return { ...found, notices: [...(isFallback ? [DETAIL_ALONE] : []), ...found.notices] };
}

/**
 * Throws what is wrong before anything is sampled: SHAPE_MISMATCH and DATASET_INVALID for what cannot be compared,
 * WORKFLOW_INVALID for metrics of pictures that need an extractor where there is none, VALUE_OUT_OF_RANGE for unknown
 * metrics and too few samples.
 */
export function checkMeasure(
  network: NetworkConfig,
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
  { metrics, count }: Pick<MeasureOptions, 'metrics' | 'count'>,
): void {
  if (isPlane(dataset)) {
    pointMetrics(metrics);
    const shape = sampleShape(network);
    if (sameShape(shape, [2])) return;
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `the model makes samples of [${shape.join(', ')}], and ${dataset.name} holds points in the plane`,
      { field: 'dataset', hint: 'Measure models of pictures against pictures.' },
    );
  }
  const wanted = pictureMetrics(metrics, dataset, extractor);
  checkPictures(network, dataset, extractorFor(wanted, extractor), { metrics: wanted, count });
}

interface DecidingScore {
  readonly metric: string;
  /** What it is called among the figures. */
  readonly name: string;
  /** What a reader of the choice should know. */
  readonly notice?: string;
}

/** The score that decides which of several models is the best: the lower the better. */
export function decidingScore(
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
): DecidingScore {
  if (isPlane(dataset)) return { metric: 'energy-distance', name: 'energy-distance' };
  if (extractor) return { metric: 'fid', name: scoreName('fid', extractor.declared.name) };
  return { metric: FINE_DETAIL_GAP, name: FINE_DETAIL_GAP_NAME, notice: DETAIL_ALONE };
}

function isPlane({ shape }: Dataset): boolean {
  return sameShape(shape, [2]);
}

function pointMetrics(names: readonly string[] | undefined): readonly PointMetric[] {
  if (names && names.length > 0) return chosen(names, POINT_METRICS, 'points');
  return ['energy-distance', 'sliced-wasserstein', 'modes-covered', 'least-share'];
}

function pictureMetrics(
  names: readonly string[] | undefined,
  { name, shape }: Dataset,
  extractor: FeatureExtractor | undefined,
): readonly PictureMetric[] {
  const [, height = 0, width = 0] = shape;
  const hasDetail = height === width && height >= LEAST_SPECTRUM_SIDE;
  const hasLogits = extractor?.declared.logits !== undefined;
  if (names && names.length > 0) {
    const wanted = chosen(names, PICTURE_METRICS, 'pictures');
    if (wanted.includes(FINE_DETAIL_GAP) && !hasDetail) {
      throw new FlowstepError(
        'VALUE_OUT_OF_RANGE',
        `${FINE_DETAIL_GAP} is for squares of ${LEAST_SPECTRUM_SIDE} x ${LEAST_SPECTRUM_SIDE} or more, and ${name} has samples of [${shape.join(', ')}]`,
        { field: 'metrics', hint: `Leave ${FINE_DETAIL_GAP} out.` },
      );
    }
    if (!extractor || hasLogits || !wanted.includes('inception-score')) return wanted;
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `${extractor.declared.name} is no classifier: it has no logits for the Inception score`,
      { field: 'metrics', hint: 'Leave inception-score out, or declare the output of its logits.' },
    );
  }
  if (!extractor && hasDetail) return [FINE_DETAIL_GAP];
  return PICTURE_METRICS.filter((metric) => {
    if (metric === 'inception-score') return hasLogits;
    if (metric === FINE_DETAIL_GAP) return hasDetail;
    return true;
  });
}

/** The extractor that the metrics need; undefined where they need none. Throws WORKFLOW_INVALID where it is missing. */
function extractorFor(
  metrics: readonly PictureMetric[],
  extractor: FeatureExtractor | undefined,
): FeatureExtractor | undefined {
  const needing = metrics.filter((metric) => metric !== FINE_DETAIL_GAP);
  if (needing.length === 0 || extractor) return needing.length === 0 ? undefined : extractor;
  throw new FlowstepError(
    'WORKFLOW_INVALID',
    `pictures are compared in the space of a feature extractor, and none is named: ${needing.join(', ')} need one`,
    {
      field: 'features',
      hint: `Name an .onnx file with its declaration (docs/metrics.md), such as fashion/features.onnx for Fashion-MNIST, or take ${FINE_DETAIL_GAP} of squares, which needs none.`,
    },
  );
}

function chosen<Name extends string>(
  names: readonly string[],
  known: readonly Name[],
  what: string,
): Name[] {
  return names.map((name) => {
    const found = known.find((one) => one === name);
    if (found !== undefined) return found;
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `"${name}" is no metric of ${what}`, {
      field: 'metrics',
      hint: `There are ${known.join(', ')}.`,
    });
  });
}
