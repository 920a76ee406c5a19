/** @file How far a model's points in the plane are from the data, averaged over independent draws. */
import { setImmediate } from 'node:timers/promises';
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { POINT_SET_NAMES, type PointSetName } from '../data/points.ts';
import type { FlowModel } from '../run/model.ts';
import { energyDistance, meanDistanceWithin } from './energy-distance.ts';
import type { Figure, Measured, PointMetric } from './figures.ts';
import { MeasuredSampler, type SamplingOptions } from './measured-sampler.ts';
import { modeShares } from './mode-shares.ts';
import { slicedWasserstein } from './sliced-wasserstein.ts';

/** Of the data's draws, which no training has seen. */
const DATA_SEED = 1000;

/** A mode counts as covered from this share of what it would have if all had the same. */
const COVERED_FROM = 0.1;

export interface PointsOptions extends SamplingOptions {
  readonly metrics: readonly PointMetric[];
  /** Independent draws, and the points of each. */
  readonly draws: number;
  readonly count: number;
}

/** Points [count, 2] of the model and of the data. */
interface Draw {
  readonly fake: Float32Array;
  readonly real: Float32Array;
  /** Says which draw of which data `real` is. */
  readonly realKey: string;
}

/** Mean distances within draws of data, which every model is compared with. */
const realWithin = new Map<string, number>();

/** Each metric of one draw; a list stands for one number a mode. */
const METRICS: Record<
  PointMetric,
  (draw: Draw, shares: () => readonly number[]) => number | readonly number[]
> = {
  'energy-distance': ({ fake, real, realKey }) => {
    const within = realWithin.get(realKey) ?? meanDistanceWithin(real, 2);
    realWithin.set(realKey, within);
    return energyDistance(fake, real, 2, within);
  },
  'sliced-wasserstein': ({ fake, real }) => slicedWasserstein(fake, real),
  'modes-covered': (_, shares) =>
    evenness(shares()).filter((share) => share >= COVERED_FROM).length,
  /** 1 when all modes have the same share, 0 when one has been lost. */
  'least-share': (_, shares) => Math.min(...evenness(shares())),
  outside: ({ fake }, shares) => {
    const count = fake.length / 2;
    // Whole numbers: shares do not add up to 1 exactly.
    const inside = shares().map((share) => Math.round(share * count));
    return (count - inside.reduce((sum, n) => sum + n, 0)) / count;
  },
  'mode-shares': (_, shares) => shares(),
};

/** Shares as multiples of the even one. */
function evenness(shares: readonly number[]): number[] {
  return shares.map((share) => share * shares.length);
}

/**
 * The metrics by name: means over the draws, with their deviation. Throws DATASET_INVALID for modes of data that has none,
 * DIVERGED for samples that are not finite, and INTERRUPTED.
 */
export async function measurePoints(
  model: FlowModel,
  dataset: Dataset,
  options: PointsOptions,
  signal?: AbortSignal,
): Promise<Measured> {
  const { draws, count, metrics } = options;
  const values = new Map<string, number[]>();
  using sampler = new MeasuredSampler(model, options, count, count);
  for (let draw = 0; draw < draws; draw++) {
    const fake = await sampler.part(0, count, (transition) => draws * transition + draw, signal);
    const real = dataset.batch(DATA_SEED, draw, count).x;
    const realKey = `${dataset.hash}/${draw}/${count}`;
    for (const metric of metrics) {
      // A comparison of 10,000 points takes a quarter of a second.
      await setImmediate();
      const found = METRICS[metric]({ fake, real, realKey }, () =>
        modeShares(modesOf(dataset), fake),
      );
      const named = typeof found === 'number' ? { [metric]: found } : numbered(metric, found);
      for (const [name, value] of Object.entries(named)) {
        values.set(name, [...(values.get(name) ?? []), value]);
      }
    }
  }
  const figures = Object.fromEntries([...values].map(([name, drawn]) => [name, figure(drawn)]));
  return { figures, secondsPerSample: sampler.secondsPerSample, notices: [] };
}

function modesOf({ name }: Dataset): PointSetName {
  const set = POINT_SET_NAMES.find((known) => known === name);
  if (set) return set;
  throw new FlowstepError('DATASET_INVALID', `the modes of ${name} are not known`, {
    field: 'metrics',
    hint: `They are of ${POINT_SET_NAMES.join(', ')}; measure others by energy-distance.`,
  });
}

function numbered(metric: string, values: readonly number[]): Record<string, number> {
  return Object.fromEntries(values.map((value, i) => [`${metric}-${i}`, value]));
}

function figure(drawn: readonly number[]): Figure {
  const value = drawn.reduce((a, b) => a + b) / drawn.length;
  if (drawn.length === 1) return { value };
  const variance = drawn.reduce((sum, x) => sum + (x - value) ** 2, 0) / (drawn.length - 1);
  return { value, std: Math.sqrt(variance) };
}
