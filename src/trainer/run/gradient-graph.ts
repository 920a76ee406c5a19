/** @file The graph of a gradient step: forward and backward of a loss over a micro-batch, from shapes alone. */
import { gradients } from '../autodiff/gradients.ts';
import { withRecompute } from '../autodiff/recompute.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { add, div, mul } from '../graph/ops.ts';
import type { TensorType } from '../graph/shapes.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { withDropout } from '../nn/dropout.ts';
import { features } from '../nn/features.ts';
import { type LoraConfig, LoraScope } from '../nn/lora.ts';
import { type Condition, cachedBatch, velocity } from '../nn/network.ts';
import {
  type ParameterList,
  ParameterScope,
  type ParameterSpec,
  type Scope,
} from '../nn/parameters.ts';
import { conditionIn, type FeedSpec } from './conditions.ts';
import { DROPOUT } from './flow-training.ts';

/** A function of points x [B, ...sample] and times t [B]; the condition is the fed one unless another is given. */
export type Velocity = (x: Value, t: Value, condition?: Condition) => Value;

/** A network as its velocity, its parameters held by the graph. */
export interface Field extends Velocity {
  /** What it has seen at its middle, [B, C]. */
  readonly features: Velocity;
  /** Where what it trains comes from: its parameters, or its adapters. */
  readonly scope: Scope;
}

export interface BuiltLoss {
  readonly loss: Value;
  readonly meters?: Readonly<Record<string, Value>>;
  /** Values that the gradient takes as constants. */
  readonly held?: readonly Value[];
}

export interface GradientGraphDefinition {
  readonly network: NetworkConfig;
  readonly batch: number;
  /** Networks, by prefix, that are adapters on the frozen network BASE: their vectors are those of the adapters. */
  readonly adapters?: Readonly<Record<string, LoraConfig | undefined>>;
  /** Tensors that are fed anew at every step. */
  readonly feeds: Readonly<Record<string, FeedSpec>>;
  /** Share of activations of the network that learns that are dropped; its draws are among the feeds. */
  readonly dropout?: number | undefined;
  /** Tensors that stay; they are among the feeds that `build` gets. */
  readonly constants?: Readonly<Record<string, TensorType>>;
  /** Forget what lies inside of blocks and compute it again in the backward pass: less memory, more time. */
  readonly recompute?: boolean | undefined;
  /** The backward pass is that of the loss times the input LOSS_SCALE, which is taken out of the gradients again. */
  readonly isScaled?: boolean | undefined;
  /** Builds the loss, a mean over samples, and what else is reported; `field(TRAINED)` is the network that learns. */
  build(field: (prefix: string) => Field, feeds: Readonly<Record<string, Value>>): BuiltLoss;
}

export interface GradientGraph {
  readonly graph: Graph;
  /** Micro-batches in a batch. */
  readonly parts: number;
  /** Outputs besides gradients, scalars. */
  readonly meters: readonly string[];
}

export const TRAINED = 'trained';

/** A scalar input, where there is one. */
export const LOSS_SCALE = 'loss scale';

/** The frozen network that adapters change. */
export const BASE = 'teacher';

/** Where the sum over the parts before is read and written; the output lies over the input. Fixed parameters have neither. */
export const gradientInput = ({ name }: ParameterSpec) => `gradient/${name}`;
export const gradientOutput = ({ name }: ParameterSpec) => `gradient/${name}'`;

/** Where memory counts more than time, so many times fewer samples are worked off at once; it costs a few percent of time. */
const RECOMPUTE_PARTS = 4;

/** Samples that a program works off at once: what fits in the processor's cache, and divides the batch. */
export function microBatch(network: NetworkConfig, batch: number, recompute = false): number {
  const most = cachedBatch(network);
  return largestDivisor(batch, recompute ? Math.ceil(most / RECOMPUTE_PARTS) : most);
}

/** The largest divisor of `batch` that is not above `most`. */
export function largestDivisor(batch: number, most: number): number {
  for (let size = Math.min(batch, most); size > 1; size--) if (batch % size === 0) return size;
  return 1;
}

/** Gradients with respect to the parameters `list` of the network TRAINED, added to those of the parts of `micro` samples before. */
export function gradientGraph(
  definition: GradientGraphDefinition,
  list: ParameterList,
  micro = microBatch(definition.network, definition.batch, definition.recompute),
): GradientGraph {
  const { network, batch, adapters = {}, constants = {}, recompute, dropout = 0 } = definition;
  const parts = batch / micro;

  const graph = new Graph();
  const feeds: Record<string, Value> = {};
  for (const [feed, { shape, dtype }] of Object.entries(definition.feeds)) {
    feeds[feed] = graph.input(feed, [micro, ...shape], dtype);
  }
  for (const [constant, { shape, dtype }] of Object.entries(constants)) {
    feeds[constant] = graph.input(constant, shape, dtype);
  }
  const condition = conditionIn(feeds, micro);
  const field = (prefix: string): Field => {
    const own = new ParameterScope(graph, prefix);
    const lora = adapters[prefix];
    const scope = lora ? new LoraScope(new ParameterScope(graph, BASE), own, lora) : own;
    const drops = dropout > 0 && prefix === TRAINED;
    const dropping = () => (drops ? withDropout(scope, feeds[DROPOUT]!, dropout) : scope);
    const call: Velocity = (x, t, other = condition) => velocity(dropping(), network, x, t, other);
    const seen: Velocity = (x, t, other = condition) => features(scope, network, x, t, other);
    return Object.assign(call, { features: seen, scope: own });
  };
  const { loss, meters = {}, held = [] } = definition.build(field, feeds);
  const reported = { loss, ...meters };
  for (const [meter, value] of Object.entries(reported)) graph.output(meter, value);

  const backward = outputGradients(graph, list, parts, loss, held, definition.isScaled);
  return {
    graph: recompute ? withRecompute(graph, backward) : graph,
    parts,
    meters: Object.keys(reported),
  };
}

/** Returns the number of the first node of the backward pass. */
function outputGradients(
  graph: Graph,
  { specs }: ParameterList,
  parts: number,
  loss: Value,
  held: readonly Value[],
  isScaled = false,
): number {
  const parameters = specs.map((spec) => graph.inputs.get(`${TRAINED}/${spec.name}`)!);
  const fixed = parameters.filter((_, i) => specs[i]!.init.kind === 'fixed');
  const scale = isScaled ? graph.input(LOSS_SCALE, []) : undefined;
  const backward = graph.nodes.length;
  const mean = parts === 1 ? loss : mul(loss, 1 / parts);
  const seen = scale ? mul(mean, scale) : mean;
  for (const [i, scaled] of gradients(seen, parameters, [...held, ...fixed]).entries()) {
    const spec = specs[i]!;
    if (spec.init.kind === 'fixed') continue;
    const gradient = scale ? div(scaled, scale) : scaled;
    const sum =
      parts === 1 ? gradient : add(graph.input(gradientInput(spec), spec.shape), gradient);
    graph.output(gradientOutput(spec), sum);
  }
  return backward;
}
