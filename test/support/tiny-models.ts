/** @file Models that are small enough for any test. */

import { Graph } from '../../src/trainer/graph/graph.ts';
import { interpret } from '../../src/trainer/graph/interpreter.ts';
import {
  classCount,
  MlpConfigSchema,
  type NetworkConfig,
  NetworkConfigSchema,
  sampleShape,
} from '../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../src/trainer/nn/parameters.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { type FlowModel, studentSettings } from '../../src/trainer/run/model.ts';
import { float32, type Shape, sizeOf, type Tensor } from '../../src/trainer/tensor.ts';

export const TINY_MLP = MlpConfigSchema.parse({ kind: 'mlp', dim: 2, width: 8, layers: 2 });

/** Few weights, but activations that fill the cache with 128 samples. */
export const WIDE_MLP = NetworkConfigSchema.parse({ kind: 'mlp', dim: 2, width: 8192, layers: 1 });

export const TINY_DIT = NetworkConfigSchema.parse({
  kind: 'dit',
  size: 4,
  channels: 1,
  patch: 2,
  width: 8,
  depth: 1,
  heads: 2,
  classes: 3,
});

/** A model with weights that are all different from zero; `student` makes it a one-step student. */
export function tinyModel(
  network: NetworkConfig,
  student?: Parameters<typeof studentSettings>[0],
): FlowModel {
  const list = parameterList(network);
  const parameters = initialise(list, 4);
  const jitter = new Float32Array(list.size);
  fillNormal(jitter, 4, 100, 0);
  for (let i = 0; i < list.size; i++) parameters[i]! += 0.2 * jitter[i]!;
  return {
    info: {
      role: student ? 'student' : 'teacher',
      network,
      ...(student ? { student: studentSettings(student) } : {}),
      dataset: { name: 'none', hash: '0' },
      training: { seed: 4, schedule: 'constant' },
    },
    parameters,
  };
}

export function noiseOf(shape: Shape, seed = 6): Tensor<'float32'> {
  const data = new Float32Array(sizeOf(shape));
  fillNormal(data, seed, 0, 0);
  return float32(data, shape);
}

/** v(x, t) of a model by the reference interpreter, for samples x of any number; -1 = no class. */
export function plainField(
  { info: { network }, parameters }: FlowModel,
  labels: readonly number[] = [],
): (x: readonly number[], t: number) => number[] {
  const list = parameterList(network);
  const classes = classCount(network);
  return (x, t) => {
    const count = x.length / sizeOf(sampleShape(network));
    const graph = new Graph();
    const v = velocity(
      new ParameterScope(graph, 'network', 'float64'),
      network,
      graph.input('x', [count, ...sampleShape(network)], 'float64'),
      graph.input('t', [count], 'float64'),
      { labels: classes > 0 ? graph.input('labels', [count], 'int64') : undefined },
    );
    graph.output('v', v);
    const feeds = new Map<string, ArrayLike<number>>([
      ['x', x],
      ['t', new Array<number>(count).fill(t)],
    ]);
    const label = (i: number) => labels[i] ?? -1;
    feeds.set(
      'labels',
      Array.from({ length: count }, (_, i) => (label(i) < 0 ? classes : label(i))),
    );
    for (const [name, { data }] of views(list, parameters)) feeds.set(`network/${name}`, data);
    return [...interpret(graph, feeds).get('v')!.data];
  };
}
