/** @file A network by its configuration. */
import { bug } from '../../errors.ts';
import { knownTimes } from '../flow/conventions.ts';
import { EDM_TIMES } from '../flow/edm.ts';
import { Graph, type Value } from '../graph/graph.ts';
import {
  classCount,
  MMDIT_HEAD_WIDTH,
  type NetworkConfig,
  sampleShape,
  textWidths,
} from './config.ts';
import { dit } from './dit.ts';
import { mlp } from './mlp.ts';
import { mmdit } from './mmdit.ts';
import { onnxActivations, onnxVelocity } from './onnx-network.ts';
import { type ParameterList, ParameterScope, type Scope } from './parameters.ts';
import { songUNetPlan } from './song-unet-plan.ts';
import { songUNetVelocity } from './song-unet-velocity.ts';

/** What a velocity depends on besides x and t: labels int64 [B], text as context [B, L, W] and pooled [B, P], what was done to pictures [B, augment]. */
export interface Condition {
  readonly labels?: Value | undefined;
  readonly context?: Value | undefined;
  readonly pooled?: Value | undefined;
  readonly augment?: Value | undefined;
}

/** The velocity v(x, t, condition) of a network: x [B, ...sample], t [B] -> like x. */
export function velocity(
  scope: Scope,
  config: NetworkConfig,
  x: Value,
  t: Value,
  { labels, context, pooled, augment }: Condition = {},
): Value {
  if (classCount(config) > 0 && !labels) throw bug('a network with classes needs labels');
  switch (config.kind) {
    case 'mlp':
      return mlp(scope, config, x, t);
    case 'dit':
      return dit(scope, config, x, t, labels);
    case 'song-unet':
      return songUNetVelocity(scope, config, x, t, { labels, augment });
    case 'mmdit':
      if (!context || !pooled) throw bug('a network with text needs context and pooled');
      return mmdit(scope, config, x, t, { context, pooled });
    case 'onnx':
      return onnxVelocity(scope, config, x, t, { labels, context, pooled });
  }
}

/** The parameters of a network in the order of its flat vector. */
export function parameterList(config: NetworkConfig): ParameterList {
  const scope = new ParameterScope(new Graph(), 'network');
  declareParameters(scope, config);
  return scope.list();
}

/** Builds the network once, on one sample, for what it asks of the scope. */
export function declareParameters(scope: Scope, config: NetworkConfig): void {
  const { graph } = scope;
  const x = graph.input('x', [1, ...sampleShape(config)]);
  const t = graph.input('t', [1]);
  const text = textWidths(config);
  velocity(scope, config, x, t, {
    labels: classCount(config) > 0 ? graph.input('labels', [1], 'int64') : undefined,
    context: text && graph.input('context', [1, text.tokens || 1, text.contextWidth]),
    pooled: text && graph.input('pooled', [1, text.pooledWidth]),
  });
}

/** The noisiest time that a network was made for; beyond it, an EDM network answers as at this time. */
export function latestTime(config: NetworkConfig): number {
  if (config.kind === 'onnx') return knownTimes(config).max;
  return config.kind === 'song-unet' && config.precondition === 'edm' ? EDM_TIMES.max : 1;
}

/** Elements of the widest activation of a batch that is worked off at once: 4 MiB, which stays in cache. */
const CACHED_ELEMENTS = 1 << 20;

/** How many samples are best worked off at once on a CPU; larger batches are slower a sample and take more memory. */
export function cachedBatch(config: NetworkConfig): number {
  return Math.max(1, Math.floor(CACHED_ELEMENTS / activationsPerSample(config)));
}

/** Elements of the widest activation of one sample. */
function activationsPerSample(config: NetworkConfig): number {
  switch (config.kind) {
    case 'mlp':
      return Math.max(config.width, config.dim);
    case 'dit':
      return (config.size / config.patch) ** 2 * 4 * config.width;
    case 'song-unet': {
      const { encoder, decoder } = songUNetPlan(config);
      const widths = [...encoder, ...decoder].flatMap(({ size, blocks }) =>
        blocks.map(({ inputs, outputs }) => size ** 2 * Math.max(inputs, outputs)),
      );
      return Math.max(...widths);
    }
    case 'mmdit': {
      const patches =
        Math.ceil(config.height / config.patch) * Math.ceil(config.width / config.patch);
      return patches * 4 * MMDIT_HEAD_WIDTH * config.depth;
    }
    case 'onnx':
      return onnxActivations(config);
  }
}
