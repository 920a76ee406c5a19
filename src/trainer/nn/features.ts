/** @file What a network has seen of its input at its middle: the features by which a discriminator judges. */
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { reduceMean, reshape, silu } from '../graph/ops.ts';
import type { GanHead } from '../methods/gan.ts';
import type { Shape } from '../tensor.ts';
import type { NetworkConfig } from './config.ts';
import { linear, ZEROS } from './layers.ts';
import { type Condition, declareParameters, velocity } from './network.ts';
import {
  type Adapter,
  type Init,
  type ParameterList,
  ParameterScope,
  type Scope,
} from './parameters.ts';

/** Passes everything on and keeps the features that the network tells. */
class FeatureScope implements Scope {
  readonly graph: Graph;
  readonly #inner: Scope;
  found: Value | undefined;

  constructor(inner: Scope) {
    this.graph = inner.graph;
    this.#inner = inner;
  }

  parameter(name: string, shape: Shape, init: Init): Value {
    return this.#inner.parameter(name, shape, init);
  }

  adapter(name: string, inputs: number, outputs: number): Adapter | undefined {
    return this.#inner.adapter?.(name, inputs, outputs);
  }

  features(value: () => Value): void {
    this.found = value();
  }
}

/**
 * Features [B, places, C] of x [B, ...sample] at t [B]. Throws VALUE_OUT_OF_RANGE for networks from files,
 * whose middle nobody knows.
 */
export function features(
  scope: Scope,
  network: NetworkConfig,
  x: Value,
  t: Value,
  condition: Condition,
): Value {
  const watching = new FeatureScope(scope);
  velocity(watching, network, x, t, condition);
  if (watching.found) return watching.found;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `a network of kind ${network.kind} tells no features, which a discriminator needs`,
    { field: 'gan_weight', hint: 'Set gan_weight to 0.' },
  );
}

const HEAD = 'discriminator';

/** Units of the hidden layer of `dense`. */
const UNITS = 64;
/** Weights beyond which `dense` is refused: it has a unit's weight for each channel at each place. */
const MOST_WEIGHTS = 1 << 24;

/**
 * Logits [B, L] of features [B, places, C]. `channels`: each channel's mean over all places, without weights (SiD2A, Zhou et al.
 * 2024); `linear`: one logit, a weighted sum of those (RealUID); `dense`: one logit, by a hidden layer over all places and
 * channels. Throws VALUE_OUT_OF_RANGE where that would be huge.
 */
export function discriminatorLogits(scope: Scope, head: GanHead, seen: Value): Value {
  const [batch, places, channels] = seen.shape as [number, number, number];
  if (head === 'dense') {
    requireSmall(places * channels * UNITS);
    const all = reshape(seen, [batch, places * channels]);
    const hidden = silu(linear(scope, `${HEAD}.hidden`, all, UNITS));
    return linear(scope, `${HEAD}.logit`, hidden, 1);
  }
  const means = reduceMean(seen, [1], false);
  return head === 'channels' ? means : linear(scope, HEAD, means, 1, ZEROS);
}

function requireSmall(weights: number): void {
  if (weights <= MOST_WEIGHTS) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `a dense discriminator of this network would have ${weights} weights, more than ${MOST_WEIGHTS}`,
    { field: 'gan_head', hint: 'Choose channels or linear.' },
  );
}

/** A list of parameters with those of a head at its end. Throws as `features`. */
export function withHead(
  list: ParameterList,
  network: NetworkConfig,
  head: GanHead,
): ParameterList {
  const scope = new ParameterScope(new Graph(), HEAD);
  const watching = new FeatureScope(scope);
  declareParameters(watching, network);
  const own = new ParameterScope(new Graph(), HEAD);
  if (watching.found)
    discriminatorLogits(own, head, own.graph.input('features', watching.found.shape));
  const added = own.list();
  return {
    specs: [
      ...list.specs,
      ...added.specs.map((spec) => ({ ...spec, offset: list.size + spec.offset })),
    ],
    size: list.size + added.size,
  };
}
