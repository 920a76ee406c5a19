/** @file How far a model's points in the plane are from the data, averaged over independent draws. */
import { setImmediate } from 'node:timers/promises';
import { FlowstepError } from '../../errors.ts';
import { type PointSetName, pointSet } from '../../trainer/data/points.ts';
import { energyDistance } from '../../trainer/metrics/energy-distance.ts';
import { modeShares } from '../../trainer/metrics/mode-shares.ts';
import { slicedWasserstein } from '../../trainer/metrics/sliced-wasserstein.ts';
import { sampleShape } from '../../trainer/nn/config.ts';
import { fillNormal } from '../../trainer/random/philox.ts';
import { STREAMS } from '../../trainer/random/streams.ts';
import type { FlowModel } from '../../trainer/run/model.ts';
import { Sampler } from '../../trainer/run/sample.ts';
import { float32, sameShape } from '../../trainer/tensor.ts';
import type { Figures, PointMetric, PointsMeasure } from './measure-schema.ts';

/** Seeds of what is drawn to measure: the same for all models, so that they differ by what they learned alone. */
const NOISE_SEED = 1;
const DATA_SEED = 1000;

/** A mode counts as covered from this share of what it would have if all had the same. */
const COVERED_FROM = 0.1;

/** Points [count, 2] of the model and of the data. */
interface Draw {
  readonly fake: Float32Array;
  readonly real: Float32Array;
  readonly set: PointSetName;
}

/** Each metric of one draw; a list stands for one number a mode. */
const METRICS: Record<PointMetric, (draw: Draw) => number | readonly number[]> = {
  'energy-distance': ({ fake, real }) => energyDistance(fake, real, 2),
  'sliced-wasserstein': ({ fake, real }) => slicedWasserstein(fake, real),
  'modes-covered': ({ fake, set }) =>
    evenness(modeShares(set, fake)).filter((share) => share >= COVERED_FROM).length,
  /** 1 when all modes have the same share, 0 when one has been lost. */
  'least-share': ({ fake, set }) => Math.min(...evenness(modeShares(set, fake))),
  outside: ({ fake, set }) => {
    const count = fake.length / 2;
    // Whole numbers: shares do not add up to 1 exactly.
    const inside = modeShares(set, fake).map((share) => Math.round(share * count));
    return (count - inside.reduce((sum, n) => sum + n, 0)) / count;
  },
  'mode-shares': ({ fake, set }) => modeShares(set, fake),
};

/** Shares as multiples of the even one. */
function evenness(shares: readonly number[]): number[] {
  return shares.map((share) => share * shares.length);
}

/**
 * The measure's metrics by name: means over the draws, with their deviation. Throws SHAPE_MISMATCH for a model of something
 * else, DIVERGED for samples that are not finite, and INTERRUPTED.
 */
export async function measurePoints(
  model: FlowModel,
  set: PointSetName,
  measure: PointsMeasure,
  signal: AbortSignal,
): Promise<Figures> {
  requirePlane(model);
  const { draws, samples, steps, metrics } = measure;
  const { student } = model.info;
  const values = new Map<string, number[]>();
  const sampler = new Sampler(model, student ? 'one-step' : 'euler', samples);
  try {
    for (let draw = 0; draw < draws; draw++) {
      const request = student
        ? ({
            solver: 'one-step',
            freshNoise: student.grid.slice(1).map((_, k) => noise(draws * (k + 1) + draw, samples)),
          } as const)
        : ({ solver: 'euler', steps } as const);
      const fake = await sampler.run({ ...request, noise: noise(draw, samples) }, signal);
      requireFinite(fake.data);
      const real = pointSet(set).batch(DATA_SEED, draw, samples).x;
      for (const metric of metrics) {
        // A comparison of 10,000 points takes a third of a second.
        await setImmediate();
        const found = METRICS[metric]({ fake: fake.data, real, set });
        const named = typeof found === 'number' ? { [metric]: found } : numbered(metric, found);
        for (const [name, value] of Object.entries(named)) {
          values.set(name, [...(values.get(name) ?? []), value]);
        }
      }
    }
  } finally {
    sampler.dispose();
  }
  return Object.fromEntries([...values].map(([name, drawn]) => [name, figure(drawn)]));
}

function noise(draw: number, samples: number) {
  const values = new Float32Array(samples * 2);
  fillNormal(values, NOISE_SEED, STREAMS.evaluation, draw);
  return float32(values, [samples, 2]);
}

function numbered(metric: string, values: readonly number[]): Record<string, number> {
  return Object.fromEntries(values.map((value, i) => [`${metric}-${i}`, value]));
}

function figure(drawn: readonly number[]) {
  const value = drawn.reduce((a, b) => a + b) / drawn.length;
  if (drawn.length === 1) return { value };
  const variance = drawn.reduce((sum, x) => sum + (x - value) ** 2, 0) / (drawn.length - 1);
  return { value, std: Math.sqrt(variance) };
}

function requirePlane({ info }: FlowModel): void {
  const shape = sampleShape(info.network);
  if (sameShape(shape, [2])) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the model makes samples of [${shape.join(', ')}], not points in the plane`,
    { hint: 'Measure models of pictures by the report of a node that evaluates them.' },
  );
}

function requireFinite(points: Float32Array): void {
  const bad = points.find((x) => !Number.isFinite(x));
  if (bad === undefined) return;
  throw new FlowstepError('DIVERGED', `the model's samples hold ${bad}`);
}
