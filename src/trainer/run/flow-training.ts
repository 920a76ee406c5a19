/** @file How a flow is trained beyond its times: the loss's weight over time, dropout, and changed pictures; all off unless asked for. */
import { FlowstepError } from '../../errors.ts';
import { AUGMENT_LABELS, drawChanges, TAPS } from '../data/augmentation.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { add, cast, gather, mul, reduceSum, reshape, transpose } from '../graph/ops.ts';
import { type FlowWeight, flowWeight } from '../methods/flow-matching.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { dropoutDraws } from '../nn/dropout.ts';
import { fillUniformAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import type { FeedSpec } from './conditions.ts';
import type { GradientStep } from './gradient-step.ts';

export interface FlowTraining {
  /** Of the loss over time; left out = velocity. */
  readonly flowWeight?: FlowWeight | undefined;
  /** Share of activations that are dropped. */
  readonly dropout?: number | undefined;
  /** Probability of each kind of change of the pictures, of which the network is told. */
  readonly augment?: number | undefined;
}

/** The options that are on: what decides a run's numbers. */
export function flowTrainingFacts({ flowWeight: weight, dropout = 0, augment = 0 }: FlowTraining) {
  return {
    ...(weight && weight !== 'velocity' && { flowWeight: weight }),
    ...(dropout > 0 && { dropout }),
    ...(augment > 0 && { augment }),
  };
}

/** Names of what is fed: draws of dropout, and of changes their labels, tables and weights. */
export const DROPOUT = 'dropout';
const LABELS = 'augment/labels';
const PLACES = 'augment/places';
const WEIGHTS = 'augment/weights';

/** What dropout and changed pictures are fed; throws VALUE_OUT_OF_RANGE for networks that are not made for them. */
export class FlowTrainingFeed {
  readonly specs: Readonly<Record<string, FeedSpec>>;
  readonly #seed: number;
  readonly #size: number;
  readonly #augment: number;

  constructor(network: NetworkConfig, options: FlowTraining, seed: number) {
    const { dropout = 0, augment = 0 } = options;
    this.#seed = seed;
    this.#augment = augment;
    this.#size = augment > 0 ? sizeToAugment(network) : 0;
    const table = { shape: [this.#size ** 2, TAPS] };
    this.specs = {
      ...(dropout > 0 && { [DROPOUT]: { shape: [dropoutDraws(network)] } }),
      ...(augment > 0 && {
        [LABELS]: { shape: [AUGMENT_LABELS] },
        [PLACES]: table,
        [WEIGHTS]: table,
      }),
    };
  }

  async write(step: GradientStep, draw: number): Promise<void> {
    const floats = (name: string) => step.feed(name) as Float32Array;
    if (DROPOUT in this.specs) {
      await fillUniformAsync(floats(DROPOUT), this.#seed, STREAMS.dropout, draw);
    }
    if (this.#augment === 0) return;
    const out = { labels: floats(LABELS), places: floats(PLACES), weights: floats(WEIGHTS) };
    await drawChanges(out, this.#size, this.#augment, this.#seed, draw);
  }
}

/** Pixels a side of the pictures. */
function sizeToAugment(network: NetworkConfig): number {
  if (network.kind === 'song-unet' && network.augment === AUGMENT_LABELS) return network.size;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `the network takes no word of ${AUGMENT_LABELS} numbers about how a picture was changed, and would learn to make changed ones`,
    { field: 'augment', hint: "Set augment to 0; EDM's SongUNets of CIFAR-10 take it." },
  );
}

export interface Augmented {
  readonly x: Value;
  /** What the network is told, [B, 9]; undefined = nothing was changed. */
  readonly augment: Value | undefined;
}

/** Pictures x [B, C, S, S] changed as the feeds say, if they say anything. */
export function augmented(x: Value, feeds: Readonly<Record<string, Value>>): Augmented {
  const [augment, places, weights] = [feeds[LABELS], feeds[PLACES], feeds[WEIGHTS]];
  if (!augment || !places || !weights) return { x, augment: undefined };
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const area = height * width;
  const byPlace = reshape(transpose(x, [0, 2, 3, 1]), [batch * area, channels]);
  const rows = cast(add(places, firstPlaces(x.graph, batch, area)), 'int64');
  const seen = gather(byPlace, reshape(rows, [batch * area * TAPS]));
  const shares = reshape(weights, [batch * area * TAPS, 1]);
  const weighted = reshape(mul(seen, shares), [batch, area, TAPS, channels]);
  const changed = reshape(reduceSum(weighted, [2], false), [batch, height, width, channels]);
  return { x: transpose(changed, [0, 3, 1, 2]), augment };
}

/** Where each sample begins, [B, 1, 1]. */
function firstPlaces(graph: Graph, batch: number, area: number): Value {
  const data = Float32Array.from({ length: batch }, (_, i) => i * area);
  return graph.constant({ dtype: 'float32', shape: [batch, 1, 1], data });
}

/** EDM's for pictures with values in [-1, 1]; networks that it was told for bring their own. */
const SIGMA_DATA = 0.5;

/** The weight of the flow's loss at times t [B]; undefined = 1. */
export function weightOf(options: FlowTraining, network: NetworkConfig, t: Value) {
  const sigmaData = network.kind === 'song-unet' ? network.sigmaData : SIGMA_DATA;
  return flowWeight(options.flowWeight ?? 'velocity', t, sigmaData);
}
