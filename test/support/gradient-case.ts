/** @file The gradient of a small network's squared error, and what it may be fed. */
import type { Graph, Value } from '../../src/trainer/graph/graph.ts';
import { mul, sub, sumTo } from '../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema, sampleShape } from '../../src/trainer/nn/config.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { initialise, type ParameterList } from '../../src/trainer/nn/parameters.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { STREAMS } from '../../src/trainer/random/streams.ts';
import { BENCH_CONFIGS } from '../../src/trainer/run/benchmark.ts';
import { gradientGraph, TRAINED } from '../../src/trainer/run/gradient-graph.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { float32, type Shape, sizeOf } from '../../src/trainer/tensor.ts';

export type SmallConfig = 'dit-xs' | 'unet-xs';

export interface GradientCase {
  /** Forward and backward of |v(x, t) - c|^2, a mean over samples. */
  readonly graph: Graph;
  readonly list: ParameterList;
  /** Of a sample. */
  readonly shape: Shape;
}

export const CASE_BATCH = 2;
/** What is added to the weights: some begin so small that the gradients before them are nearly 0. */
const SPREAD = 0.05;

export function gradientCase(name: SmallConfig, recompute = false): GradientCase {
  const network = NetworkConfigSchema.parse(BENCH_CONFIGS[name].network);
  const list = parameterList(network);
  const shape = sampleShape(network);
  const { graph } = gradientGraph(
    {
      network,
      batch: CASE_BATCH,
      recompute,
      feeds: { x: { shape }, c: { shape }, t: { shape: [] } },
      build: (field, { x, c, t }) => {
        const error = sub(field(TRAINED)(x!, t!), c!);
        return { loss: mul(sumTo(mul(error, error), []), 1 / CASE_BATCH) };
      },
    },
    list,
    CASE_BATCH,
  );
  return { graph, list, shape };
}

/** Weights, points, times and targets; another number gives others. */
export function drawFeeds({ list, shape }: GradientCase, number: number) {
  const normal = (count: number, draw: number) => {
    const data = new Float32Array(count);
    fillNormal(data, number, STREAMS.evaluation, draw);
    return data;
  };
  const weights = initialise(list, number);
  const more = normal(list.size, 0);
  const feeds = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, shape, init } of list.specs) {
    const start = at;
    at += sizeOf(shape);
    const spread = init.kind === 'fixed' ? 0 : SPREAD;
    feeds.set(
      `${TRAINED}/${name}`,
      weights.slice(start, at).map((w, i) => w + spread * more[start + i]!),
    );
  }
  for (const [i, name] of ['x', 'c'].entries()) {
    feeds.set(name, normal(CASE_BATCH * sizeOf(shape), i + 1));
  }
  feeds.set(
    't',
    normal(CASE_BATCH, 3).map((z) => 1 / (1 + Math.exp(-z))),
  );
  return feeds;
}

export type Feeds = ReadonlyMap<string, Float32Array>;

export interface Found {
  readonly loss: number;
  readonly gradient: readonly number[];
}

/** What ONNX Runtime computes of the graph for each of the feeds. */
export async function computed(graph: Graph, draws: readonly Feeds[]): Promise<Found[]> {
  const program = new Program(graph, { name: 'gradient' });
  const memory = (of: ReadonlyMap<string, Value>) =>
    new Map([...of].map(([name, { shape }]) => [name, new Float32Array(sizeOf(shape))]));
  const [fed, results] = [memory(graph.inputs), memory(graph.outputs)];
  try {
    for (const [name, { shape }] of graph.inputs) {
      program.bindInput(name, float32(fed.get(name)!, shape));
    }
    for (const [name, { shape }] of graph.outputs) {
      program.bindOutput(name, float32(results.get(name)!, shape));
    }
    const found: Found[] = [];
    for (const feeds of draws) {
      for (const [name, data] of fed) data.set(feeds.get(name)!);
      await program.run();
      found.push({ loss: results.get('loss')![0]!, gradient: gradientsOf(results) });
    }
    return found;
  } finally {
    program.dispose();
  }
}

/** All gradients one after the other. */
export function gradientsOf(results: ReadonlyMap<string, ArrayLike<number>>): number[] {
  return [...results].flatMap(([name, data]) =>
    name.startsWith('gradient/') ? Array.from(data) : [],
  );
}

/** Length of the difference, as a share of the length. */
export function distance(found: readonly number[], right: readonly number[]): number {
  const norm = (values: readonly number[]) => Math.hypot(...values);
  return norm(found.map((value, i) => value - right[i]!)) / norm(right);
}
