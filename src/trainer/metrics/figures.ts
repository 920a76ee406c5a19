/** @file What can be measured of a model's samples, and the numbers that it gives. */
import { METRICS, type Metric } from './score-features.ts';

/** Of points in the plane. */
export const POINT_METRICS = [
  'energy-distance',
  'sliced-wasserstein',
  'modes-covered',
  'least-share',
  'outside',
  'mode-shares',
] as const;
export type PointMetric = (typeof POINT_METRICS)[number];

/** Of pictures in the space of an extractor. */
const FEATURE_METRICS = METRICS.filter(
  (metric): metric is FeatureMetric =>
    metric !== 'energy-distance' && metric !== 'sliced-wasserstein',
);
export type FeatureMetric = Exclude<Metric, 'energy-distance' | 'sliced-wasserstein'>;

/** Of pictures by themselves: how far their power at fine detail is from the data's. */
export const FINE_DETAIL_GAP = 'fine-detail-gap';
/** Among the figures. */
export const FINE_DETAIL_GAP_NAME = 'fine-detail gap';

export const PICTURE_METRICS = [...FEATURE_METRICS, FINE_DETAIL_GAP] as const;
export type PictureMetric = FeatureMetric | typeof FINE_DETAIL_GAP;

/** A measured number, with its deviation over draws or parts where there are several. */
export interface Figure {
  readonly value: number;
  readonly std?: number | undefined;
}

/** By name; of pictures the name says in whose space. */
export type Figures = Readonly<Record<string, Figure>>;

/** What was measured, and what it took. */
export interface Measured {
  readonly figures: Figures;
  /** Time in the sampler alone. */
  readonly secondsPerSample: number;
  /** What a reader of the numbers should know. */
  readonly notices: readonly string[];
}
