/** @file The velocity of a model at points that are the same for every model of the same form. */
import { Graph } from '../../src/trainer/graph/graph.ts';
import { interpret } from '../../src/trainer/graph/interpreter.ts';
import {
  classCount,
  type NetworkConfig,
  sampleShape,
  textWidths,
} from '../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../src/trainer/nn/network.ts';
import { bindParameters, ParameterScope, views } from '../../src/trainer/nn/parameters.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { normals } from './small-mmdit.ts';

/** Length of texts. */
export const TOKENS = 5;
/** Samples. */
export const COUNT = 3;

interface Points {
  readonly graph: Graph;
  readonly feeds: ReadonlyMap<string, Float32Array | BigInt64Array>;
}

/** v at points that are the same for every model of the same form, as a graph; the last label is no class. */
function atPoints(
  network: NetworkConfig,
  t: readonly number[],
  dtype: 'float32' | 'float64',
): Points {
  const graph = new Graph();
  const text = textWidths(network);
  const x = normals(COUNT * sizeOf(sampleShape(network)), 1);
  const labels = BigInt64Array.from({ length: COUNT }, (_, i) => BigInt(i));
  const classes = BigInt(classCount(network));
  const feeds = new Map<string, Float32Array | BigInt64Array>([
    ['x', x],
    ['t', Float32Array.from(t)],
    ['labels', labels.map((label) => (label < classes ? label : classes))],
    ['context', normals(COUNT * TOKENS * (text?.contextWidth ?? 0), 2)],
    ['pooled', normals(COUNT * (text?.pooledWidth ?? 0), 3)],
  ]);
  const v = velocity(
    new ParameterScope(graph, 'network', dtype),
    network,
    graph.input('x', [COUNT, ...sampleShape(network)], dtype),
    graph.input('t', [COUNT], dtype),
    {
      labels: classes > 0n ? graph.input('labels', [COUNT], 'int64') : undefined,
      context: text && graph.input('context', [COUNT, TOKENS, text.contextWidth], dtype),
      pooled: text && graph.input('pooled', [COUNT, text.pooledWidth], dtype),
    },
  );
  graph.output('v', v);
  return { graph, feeds };
}

/** v by the reference interpreter. */
export function velocityOf(
  { info: { network }, parameters }: FlowModel,
  t: readonly number[],
): number[] {
  const { graph, feeds } = atPoints(network, t, 'float64');
  const numbers = new Map<string, ArrayLike<number>>(
    [...feeds].map(([name, data]) => [name, Array.from<number | bigint, number>(data, Number)]),
  );
  for (const [name, { data }] of views(parameterList(network), parameters)) {
    numbers.set(`network/${name}`, data);
  }
  return [...interpret(graph, numbers).get('v')!.data];
}

/** v by ONNX Runtime in float32, as it is trained and sampled. */
export async function engineVelocityOf(model: FlowModel, t: readonly number[]): Promise<number[]> {
  const { network } = model.info;
  const { graph, feeds } = atPoints(network, t, 'float32');
  const program = new Program(graph, { name: 'velocity' });
  for (const [name, { shape, dtype }] of graph.inputs) {
    const data = feeds.get(name);
    if (data) program.bindInput(name, { dtype, shape, data } as Tensor);
  }
  bindParameters(program, graph, 'network', parameterList(network), model.parameters);
  const v = new Float32Array(COUNT * sizeOf(sampleShape(network)));
  program.bindOutput('v', { dtype: 'float32', shape: graph.outputs.get('v')!.shape, data: v });
  await program.run();
  program.dispose();
  return [...v];
}

/** The greatest difference of two vectors. */
export const greatest = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
