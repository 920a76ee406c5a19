/** @file All metrics of generated against real features, with names that say in whose space they are. */
import { FlowstepError } from '../../errors.ts';
import type { Seed } from '../random/seed.ts';
import { energyDistance } from './energy-distance.ts';
import { assertComparable, assertSamples, type FeatureSource } from './feature-source.ts';
import { type FeatureStatistics, featureStatistics } from './feature-statistics.ts';
import { frechetDistance } from './frechet-distance.ts';
import { INCEPTION_SPLITS, inceptionScore } from './inception-score.ts';
import { drawSubsets, KERNEL_SUBSETS, kernelDistance } from './kernel-distance.ts';
import { type NeighbourShares, neighbourShares } from './neighbours.ts';
import { slicedWasserstein } from './sliced-wasserstein.ts';

/** Metrics with what the literature calls them. */
const METRIC_NAMES = {
  fid: 'FID',
  kid: 'KID',
  precision: 'precision',
  recall: 'recall',
  density: 'density',
  coverage: 'coverage',
  'inception-score': 'Inception score',
  'energy-distance': 'energy distance',
  'sliced-wasserstein': 'sliced Wasserstein distance',
} as const;

export type Metric = keyof typeof METRIC_NAMES;

export const METRICS = Object.keys(METRIC_NAMES) as readonly Metric[];

/** Kynkaanniemi et al.'s number, and that of StyleGAN's pr50k3. */
export const DEFAULT_NEIGHBOURS = 3;

export interface Score {
  readonly metric: Metric;
  /** Such as "FID (features)": numbers of different extractors cannot be compared. */
  readonly name: string;
  readonly value: number;
  /** Of KID over its subsets and of the Inception score over its splits. */
  readonly std?: number;
}

export interface ScoreRequest {
  readonly real: FeatureSource;
  readonly fake: FeatureSource;
  /** Logits of the fakes, for the Inception score. */
  readonly logits?: FeatureSource;
  /** Name of the network or other map that gave the features. */
  readonly extractor: string;
  /** Default: all that the features allow. */
  readonly metrics?: readonly Metric[];
  readonly neighbours: number;
  /** Of KID's subsets. */
  readonly seed: Seed;
  /** Statistics of the reals when they are known already, or are kept. */
  readonly realStatistics?: () => Promise<FeatureStatistics>;
  /** Told what is begun, as some metrics take minutes. */
  onStage?(what: string): void;
}

export interface FeatureScores {
  /** In the order of `METRICS`. */
  readonly scores: readonly Score[];
  /** What a reader of the numbers should know. */
  readonly notices: readonly string[];
}

/**
 * The wanted metrics. Throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE for features that do not fit them, and INTERRUPTED.
 */
export async function scoreFeatures(
  request: ScoreRequest,
  signal?: AbortSignal,
): Promise<FeatureScores> {
  const { real, fake } = request;
  assertComparable(real, fake);
  const wanted = new Set(
    request.metrics ?? METRICS.filter((metric) => isPossible(metric, request)),
  );
  const values = new Map<Metric, { value: number; std?: number }>();
  const notices: string[] = [];
  // What can fail for want of samples comes before what takes long.
  if (wanted.has('inception-score'))
    values.set('inception-score', await inception(request, signal));
  for (const metric of ['energy-distance', 'sliced-wasserstein'] as const) {
    if (wanted.has(metric)) values.set(metric, { value: await inThePlane(metric, request) });
  }
  if (wanted.has('fid')) {
    notices.push(...rankNotices(request));
    request.onStage?.('FID: statistics of the real samples');
    const statistics = await (request.realStatistics?.() ?? featureStatistics(real, signal));
    request.onStage?.('FID: statistics of the generated samples');
    const fakeStatistics = await featureStatistics(fake, signal);
    request.onStage?.('FID: distance');
    values.set('fid', { value: await frechetDistance(statistics, fakeStatistics, signal) });
  }
  if (wanted.has('kid')) {
    const subsets = drawSubsets(real.count, fake.count, request.seed);
    const size = subsets[0]!.real.length;
    if (size < KERNEL_SUBSETS.size) {
      notices.push(`KID: subsets of ${size} samples, not of ${KERNEL_SUBSETS.size} as is usual`);
    }
    request.onStage?.('KID');
    const { mean, std } = await kernelDistance(real, fake, subsets, signal);
    values.set('kid', { value: mean, std });
  }
  const shares = NEIGHBOUR_METRICS.filter((metric) => wanted.has(metric));
  if (shares.length > 0) {
    request.onStage?.(`${shares.join(', ')}: nearest neighbours`);
    const all = await neighbourShares(real, fake, request.neighbours, signal);
    for (const metric of shares) values.set(metric, { value: all[metric] });
  }
  const scores = METRICS.flatMap((metric) => {
    const found = values.get(metric);
    return found ? [{ metric, name: scoreName(metric, request.extractor), ...found }] : [];
  });
  return { scores, notices };
}

/** "FID (EXTRACTOR)". */
export function scoreName(metric: Metric, extractor: string): string {
  return `${METRIC_NAMES[metric]} (${extractor})`;
}

const NEIGHBOUR_METRICS = [
  'precision',
  'recall',
  'density',
  'coverage',
] as const satisfies readonly (keyof NeighbourShares)[];

function isPossible(metric: Metric, { real, logits }: ScoreRequest): boolean {
  if (metric === 'inception-score') return logits !== undefined;
  if (metric === 'energy-distance' || metric === 'sliced-wasserstein') return real.dim === 2;
  return true;
}

async function inception({ logits, fake }: ScoreRequest, signal: AbortSignal | undefined) {
  if (!logits) {
    throw new FlowstepError('SHAPE_MISMATCH', `${fake.name}: there are no logits beside it`, {
      hint: 'The Inception score needs a tensor "logits" of shape [samples, classes].',
    });
  }
  const { mean, std } = await inceptionScore(logits, INCEPTION_SPLITS, signal);
  return { value: mean, std };
}

async function inThePlane(
  metric: 'energy-distance' | 'sliced-wasserstein',
  { real, fake }: ScoreRequest,
): Promise<number> {
  if (real.dim !== 2) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${real.name} has ${real.dim} numbers a sample; ${METRIC_NAMES[metric]} is for points in the plane`,
      { hint: `Leave out ${metric}.` },
    );
  }
  const points = async (set: FeatureSource) => Float32Array.from(await set.rows(0, set.count));
  const [a, b] = [await points(real), await points(fake)];
  return metric === 'energy-distance' ? energyDistance(a, b, 2) : slicedWasserstein(a, b);
}

function rankNotices({ real, fake }: ScoreRequest): string[] {
  for (const set of [real, fake]) assertSamples(set, 2, 'FID');
  return [real, fake]
    .filter(({ count, dim }) => count <= dim)
    .map(
      ({ name, count, dim }) =>
        `FID: ${name} has ${count} samples of ${dim} numbers: its covariance is singular and the score far too high; give more than ${dim} samples, better ten times as many, and compare only scores of equally many`,
    );
}
