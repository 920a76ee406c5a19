/** @file How far a model is from data: one measure for the node, the command, sweeps and training. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import type { FlowModel } from '../run/model.ts';
import { sameShape } from '../tensor.ts';
import type { FeatureExtractor } from './extractor.ts';
import {
  FINE_DETAIL_GAP,
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
  const metrics = pictureMetrics(options.metrics, dataset, extractor!);
  return measurePictures(model, dataset, extractor!, { ...options, metrics }, signal);
}

/**
 * Throws what is wrong before anything is sampled: SHAPE_MISMATCH and DATASET_INVALID for what cannot be compared,
 * WORKFLOW_INVALID for pictures without an extractor, VALUE_OUT_OF_RANGE for unknown metrics and too few samples.
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
  if (!extractor) {
    throw new FlowstepError(
      'WORKFLOW_INVALID',
      'pictures are compared in the space of a feature extractor, and none is named',
      {
        field: 'features',
        hint: 'Name an .onnx file with its declaration (docs/metrics.md), such as fashion/features.onnx for Fashion-MNIST.',
      },
    );
  }
  const wanted = pictureMetrics(metrics, dataset, extractor);
  checkPictures(network, dataset, extractor, { metrics: wanted, count });
}

/** Name of the score that decides which of several models is the best: the lower the better. */
export function decidingScore(
  dataset: Dataset,
  extractor: FeatureExtractor | undefined,
): { readonly metric: string; readonly name: string } {
  if (isPlane(dataset) || !extractor) return { metric: 'energy-distance', name: 'energy-distance' };
  return { metric: 'fid', name: scoreName('fid', extractor.declared.name) };
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
  { shape }: Dataset,
  extractor: FeatureExtractor,
): readonly PictureMetric[] {
  const hasLogits = extractor.declared.logits !== undefined;
  if (names && names.length > 0) {
    const wanted = chosen(names, PICTURE_METRICS, 'pictures');
    if (hasLogits || !wanted.includes('inception-score')) return wanted;
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `${extractor.declared.name} is no classifier: it has no logits for the Inception score`,
      { field: 'metrics', hint: 'Leave inception-score out, or declare the output of its logits.' },
    );
  }
  const [, height = 0, width = 0] = shape;
  return PICTURE_METRICS.filter((metric) => {
    if (metric === 'inception-score') return hasLogits;
    if (metric === FINE_DETAIL_GAP) return height === width && height >= LEAST_SPECTRUM_SIDE;
    return true;
  });
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
