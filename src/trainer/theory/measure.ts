/**
 * @file Measures on one setting the Flow Product Identity (FGM, theorem 4.1), and that the gradient of L1 + L2 is that of
 * the intractable objective E |u - v|^2 (theorem 4.2).
 */
import { throwIfStopped } from '../metrics/event-loop-turns.ts';
import { directionsAbout, dot } from './directions.ts';
import { draws } from './draws.ts';
import { GradientEstimate } from './gradient-estimate.ts';
import { FULL_LOSS, type Loss } from './programs.ts';
import type { Setting } from './setting.ts';
import { type Slope, slopeAlong } from './slopes.ts';
import { type Gap, gapOf, LARGEST_GAP, mean } from './statistics.ts';

/** How much is drawn. */
export interface Effort {
  /** Points worked off at once. */
  readonly batch: number;
  /** Points of a replicate, a multiple of the batch, and of the latents where they are a fixed set. */
  readonly points: number;
  /** Independent estimates, from whose spread the intervals follow: at least, and at most. */
  readonly replicates: readonly [fewest: number, most: number];
  readonly directions: number;
}

export interface Row extends Gap {
  readonly what: string;
}

export interface Measured {
  /** Expected is E f.v, or the objective's derivative; found is E f.c, or that of the loss. */
  readonly rows: readonly Row[];
  /** Points drawn, over all replicates. */
  readonly points: number;
}

/** Margins below this end the measurement: whether the gap is small or not plays no part, which would favour one verdict. */
const WANTED_MARGIN = 0.4 * LARGEST_GAP;

/** The replicate that gives the directions, far above those that are compared. */
const PILOT = 2 ** 30;

export interface MeasureOptions {
  readonly effort: Effort;
  readonly seed: number;
  /** For tests that a wrong loss is found; default: L1 + L2. */
  readonly loss?: Loss;
  readonly signal?: AbortSignal | undefined;
  /** Told after each replicate. */
  readonly onProgress?: (replicates: number) => void;
}

/** Compares until the intervals are narrow, or the most replicates are done. Throws INTERRUPTED. */
export async function measure(setting: Setting, options: MeasureOptions): Promise<Measured> {
  const { effort, seed, loss = FULL_LOSS } = options;
  const { batch, points } = effort;
  const law = await setting.law(setting.student.values);
  using trainer = new GradientEstimate(setting, setting.implicit, law, batch, loss);
  // A replicate of its own gives the directions, so that they do not depend on what is then compared along them.
  for (const feeds of draws(setting, batch, points, seed, PILOT)) {
    throwIfStopped(options.signal);
    await trainer.add(feeds);
  }
  const directions = directionsAbout(trainer.take().gradient, effort.directions, seed);
  const slopes: Slope[] = [];
  try {
    for (const direction of directions) slopes.push(await slopeAlong(setting, direction, batch));
    return await compare(setting, trainer, directions, slopes, options);
  } finally {
    for (const slope of slopes) slope[Symbol.dispose]();
  }
}

async function compare(
  setting: Setting,
  trainer: GradientEstimate,
  directions: readonly Float64Array[],
  slopes: readonly Slope[],
  { effort: { batch, points, replicates }, seed, signal, onProgress }: MeasureOptions,
): Promise<Measured> {
  const [fewest, most] = replicates;
  const pairs = new Map<string, { expected: number[]; found: number[] }>();
  const scales: number[] = [];
  const note = (what: string, expected: number, found: number) => {
    const pair = pairs.get(what) ?? { expected: [], found: [] };
    pairs.set(what, pair);
    pair.expected.push(expected);
    pair.found.push(found);
  };
  for (let replicate = 0; ; replicate++) {
    const derivatives: number[][] = directions.map(() => []);
    for (const feeds of draws(setting, batch, points, seed, replicate)) {
      throwIfStopped(signal);
      const added = trainer.add(feeds);
      const found = await Promise.all(slopes.map((slope) => slope.at(feeds)));
      await added;
      for (const [k, derivative] of found.entries()) derivatives[k]!.push(derivative);
    }
    const { gradient, products } = trainer.take();
    note('E u.v = E u.c', products['u.v'], products['u.c']);
    note('E v.v = E v.c', products['v.v'], products['v.c']);
    scales.push(Math.sqrt(products['u.u'] * products['v.v']));
    for (const [k, direction] of directions.entries()) {
      note(`gradient, direction ${k + 1}`, mean(derivatives[k]!), dot(gradient, direction));
    }
    const done = replicate + 1;
    onProgress?.(done);
    if (done < fewest) continue;
    const rows = [...pairs].map(([what, { expected, found }]) => ({
      what,
      // E u.v may be near 0 by chance; sqrt(E |u|^2 E |v|^2) is the most that it can be.
      ...(what === 'E u.v = E u.c' ? gapOf(expected, found, mean(scales)) : gapOf(expected, found)),
    }));
    const isNarrow = rows.every(({ margin }) => margin < WANTED_MARGIN);
    if (isNarrow || done >= most) return { rows, points: done * points };
  }
}
