/** @file What a network has seen of its input at its middle: the features by which a discriminator judges. */
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import type { Shape } from '../tensor.ts';
import type { NetworkConfig } from './config.ts';
import { affine, ZEROS } from './layers.ts';
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
 * Features [B, C] of x [B, ...sample] at t [B], means over all places. Throws VALUE_OUT_OF_RANGE for networks from files,
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

/** One logit [B, 1] of features [B, C]; its weights start at zero. */
export function linearHead(scope: Scope, seen: Value): Value {
  const width = seen.shape[1]!;
  const weight = scope.parameter(`${HEAD}.weight`, [1, width], ZEROS);
  return affine(seen, weight, scope.parameter(`${HEAD}.bias`, [1], ZEROS));
}

/** A list of parameters with those of a linear head at its end. Throws as `features`. */
export function withHead(list: ParameterList, network: NetworkConfig): ParameterList {
  const scope = new ParameterScope(new Graph(), HEAD);
  const watching = new FeatureScope(scope);
  declareParameters(watching, network);
  const width = watching.found?.shape[1] ?? 0;
  const head = new ParameterScope(new Graph(), HEAD);
  linearHead(head, head.graph.input('features', [1, width]));
  const added = head.list();
  return {
    specs: [
      ...list.specs,
      ...added.specs.map((spec) => ({ ...spec, offset: list.size + spec.offset })),
    ],
    size: list.size + added.size,
  };
}
