/** @file A network by its configuration. */
import { bug } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { classCount, type NetworkConfig, sampleShape } from './config.ts';
import { dit } from './dit.ts';
import { mlp } from './mlp.ts';
import { type ParameterList, ParameterScope, type Scope } from './parameters.ts';

/** The velocity v(x, t, label) of a network: x [B, ...sample], t [B], labels int64 [B] -> like x. */
export function velocity(
  scope: Scope,
  config: NetworkConfig,
  x: Value,
  t: Value,
  labels?: Value,
): Value {
  if (classCount(config) > 0 && !labels) throw bug('a network with classes needs labels');
  switch (config.kind) {
    case 'mlp':
      return mlp(scope, config, x, t);
    case 'dit':
      return dit(scope, config, x, t, labels);
  }
}

/** The parameters of a network in the order of its flat vector. */
export function parameterList(config: NetworkConfig): ParameterList {
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'network');
  const x = graph.input('x', [1, ...sampleShape(config)]);
  const t = graph.input('t', [1]);
  const labels = classCount(config) > 0 ? graph.input('labels', [1], 'int64') : undefined;
  velocity(scope, config, x, t, labels);
  return scope.list();
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
  }
}
