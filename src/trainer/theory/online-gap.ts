/** @file The gap that a learned online flow leaves: the student's gradient with it, against that with the exact velocity. */
import { linearPath } from '../flow/path.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { throwIfStopped } from '../metrics/event-loop-turns.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { velocity } from '../nn/network.ts';
import { ADAM } from '../run/distiller.ts';
import { FrozenNetwork } from '../run/frozen.ts';
import { TRAINED } from '../run/gradient-graph.ts';
import { GradientStep } from '../run/gradient-step.ts';
import { Learner } from '../run/learner.ts';
import { Pacer } from '../run/pacer.ts';
import { moved, norm } from './directions.ts';
import { draws, type Feeds } from './draws.ts';
import { float32Scope, toFloat32, toFloat64 } from './float64-program.ts';
import { GradientEstimate } from './gradient-estimate.ts';
import type { Effort } from './measure.ts';
import { atTStar, C_IN, T_STAR } from './networks.ts';
import type { Online } from './programs.ts';
import type { Setting } from './setting.ts';

/** As the distiller trains an online flow. */
const OPTIONS = { ...ADAM, clipNorm: 0, clipValue: 0 } as const;
const RATE = 1e-3;
const BATCH = 256;

/** The training's own random numbers, above those of the estimates. */
const FIRST_REPLICATE = 2 ** 20;

export interface OnlineGap {
  /** Updates of the online flow, which starts from the teacher. */
  readonly steps: number;
  /** |g - g_exact| / |g_exact|, over all parameters. */
  readonly gap: number;
  /** Cosine of the angle between the two gradients. */
  readonly cosine: number;
}

export interface OnlineOptions {
  readonly setting: Setting;
  readonly config: NetworkConfig;
  /** Rising numbers of updates at which the gradient is compared. */
  readonly steps: readonly number[];
  readonly effort: Pick<Effort, 'batch' | 'points'>;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/** Trains an online flow on the student of a network setting, which stays as it is. */
export async function onlineGaps(options: OnlineOptions): Promise<OnlineGap[]> {
  const { setting, config, steps, effort, seed, signal } = options;
  const exact = await gradientWith(
    options,
    setting.implicit,
    await setting.law(setting.student.values),
  );
  const online: Online = {
    list: setting.teacher.list,
    velocity: (scope, x, t) =>
      toFloat64(velocity(float32Scope(scope), config, toFloat32(x), toFloat32(t))),
  };
  const start = Float32Array.from(setting.teacher.values);
  const learner = new Learner('online', online.list, start, {
    ...OPTIONS,
    ema: false,
    emaDecay: 0,
  });
  using student = new FrozenNetwork(
    setting.student.list,
    Float32Array.from(setting.student.values),
  );
  const step = new GradientStep({
    name: 'online gradient',
    network: config,
    batch: BATCH,
    learner,
    frozen: { student },
    feeds: { z: { shape: setting.shape }, x1: { shape: setting.shape }, t: { shape: [] } },
    build: (field, { z, x1, t }) => {
      const x0 = oneStepStudent(z!, T_STAR, C_IN, (x) => field('student')(x, atTStar(x)));
      const { xt, c } = linearPath(x0, x1!, t!);
      return { loss: flowMatchingLoss(field(TRAINED)(xt, t!), c) };
    },
  });
  try {
    const found: OnlineGap[] = [];
    const pacer = new Pacer();
    const batches = trainingDraws(setting, effort.points, seed);
    for (const target of steps) {
      while (learner.updates < target) {
        throwIfStopped(signal);
        const feeds = batches.next().value as Feeds;
        for (const name of ['z', 'x1', 't']) (step.feed(name) as Float32Array).set(feeds[name]!);
        const { loss } = await step.run(pacer, async () => undefined);
        await learner.update(loss!, RATE, pacer);
      }
      const gradient = await gradientWith(options, online, Float64Array.from(learner.weights));
      found.push({ steps: target, ...comparison(exact, gradient) });
    }
    return found;
  } finally {
    step.dispose();
    learner.dispose();
  }
}

/** Batches without end, each latent equally often. */
function* trainingDraws(setting: Setting, points: number, seed: number): Generator<Feeds> {
  for (let round = 0; ; round++) {
    yield* draws(setting, BATCH, points, seed, FIRST_REPLICATE + round);
  }
}

/** The gradient of L1 + L2 with `flow` for v: always of the same points, so that what they share cancels. */
async function gradientWith(
  { setting, effort: { batch, points }, seed, signal }: OnlineOptions,
  flow: Online,
  parameters: Float64Array,
): Promise<Float64Array> {
  using estimate = new GradientEstimate(setting, flow, parameters, batch);
  for (const feeds of draws(setting, batch, points, seed, 0)) {
    throwIfStopped(signal);
    await estimate.add(feeds);
  }
  return estimate.take().gradient;
}

function comparison(exact: Float64Array, found: Float64Array) {
  const difference = norm(moved(found, exact, -1));
  const [a, b] = [norm(exact), norm(found)];
  const product = (a ** 2 + b ** 2 - difference ** 2) / 2;
  // A flow that is the teacher gives no gradient at all.
  return { gap: difference / a, cosine: b === 0 ? 0 : product / (a * b) };
}
