/** Training graphs in 16 bits: what is cast, that gradients stay, and that ONNX Runtime takes the graphs. */
import { describe, expect, test } from 'vitest';
import type { Graph, OperatorNode } from '../../../src/trainer/graph/graph.ts';
import { Graph as NewGraph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { type LowType, lowPrecisionGraph } from '../../../src/trainer/graph/low-precision.ts';
import {
  add,
  cast,
  matMul,
  mul,
  sigmoid,
  softmax,
  sub,
  sumTo,
} from '../../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { initialise } from '../../../src/trainer/nn/parameters.ts';
import { BENCH_CONFIGS } from '../../../src/trainer/run/benchmark.ts';
import { gradientGraph, TRAINED } from '../../../src/trainer/run/gradient-graph.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { float32, sizeOf } from '../../../src/trainer/tensor.ts';

const operators = (graph: Graph): OperatorNode[] =>
  graph.nodes.filter((node): node is OperatorNode => node.kind === 'operator');

/** Types of the results of an operator, in order. */
const typesOf = (graph: Graph, operator: string) =>
  operators(graph)
    .filter((node) => node.operator === operator)
    .map(({ outputs }) => outputs[0]!.dtype);

describe('a graph', () => {
  test('has its products in 16 bits, and what only passes values on', () => {
    const graph = new NewGraph();
    const x = graph.input('x', [4, 8]);
    const w = graph.input('w', [8, 8]);
    const hidden = sigmoid(add(matMul(x, w), 1));
    graph.output('y', matMul(softmax(matMul(hidden, w)), w));
    const low = lowPrecisionGraph(graph, 'bfloat16');
    expect(typesOf(low, 'MatMul')).toEqual(['bfloat16', 'bfloat16', 'bfloat16']);
    expect(typesOf(low, 'Sigmoid')).toEqual(['bfloat16']);
    expect(typesOf(low, 'Softmax')).toEqual(['float32']);
    expect([...low.inputs.values(), ...low.outputs.values()].map(({ dtype }) => dtype)).toEqual([
      ...['float32', 'float32', 'float32'],
    ]);
    // x, the constant, what softmax gives, and the weight: once, though it is read three times.
    expect(typesOf(low, 'Cast').filter((type) => type === 'bfloat16')).toHaveLength(4);
  });

  test('of float32 and 16 bits together goes on in float32', () => {
    const graph = new NewGraph();
    const x = graph.input('x', [4, 8]);
    graph.output('y', add(matMul(x, graph.input('w', [8, 8])), x));
    expect(typesOf(lowPrecisionGraph(graph, 'float16'), 'Add')).toEqual(['float32']);
  });

  test('of other types is left alone', () => {
    const graph = new NewGraph();
    const x = graph.input('x', [4, 4], 'float64');
    graph.output('y', matMul(x, cast(graph.input('n', [4, 4], 'int64'), 'float64')));
    const low = lowPrecisionGraph(graph, 'bfloat16');
    expect(operators(low).map(({ operator }) => operator)).toEqual(['Cast', 'MatMul']);
    expect(typesOf(low, 'MatMul')).toEqual(['float64']);
  });
});

const BATCH = 2;

/** Forward and backward of |v - c|^2 of a network, with what it is fed. */
function training(name: 'dit-xs' | 'unet-xs', recompute = false) {
  const network = NetworkConfigSchema.parse(BENCH_CONFIGS[name].network);
  const list = parameterList(network);
  const shape = sampleShape(network);
  const { graph } = gradientGraph(
    {
      network,
      batch: BATCH,
      recompute,
      feeds: { x: { shape }, c: { shape }, t: { shape: [] } },
      build: (field, { x, c, t }) => {
        const difference = sub(field(TRAINED)(x!, t!), c!);
        return { loss: mul(sumTo(mul(difference, difference), []), 1 / BATCH) };
      },
    },
    list,
    BATCH,
  );
  const weights = initialise(list, 0);
  const noise = (count: number, scale: number) =>
    Float32Array.from({ length: count }, (_, i) => scale * Math.sin(12.9898 * i + 1));
  const feeds = new Map<string, Float32Array>();
  let at = 0;
  for (const spec of list.specs) {
    const size = sizeOf(spec.shape);
    // Weights that begin as 0 would leave most gradients 0.
    feeds.set(
      `${TRAINED}/${spec.name}`,
      weights.slice(at, at + size).map((w, i) => w + 0.05 * Math.sin(7 * i + at)),
    );
    at += size;
  }
  for (const name of ['x', 'c']) feeds.set(name, noise(BATCH * sizeOf(shape), 1.5));
  feeds.set('t', Float32Array.of(0.3, 0.8));
  return { graph, feeds };
}

/** All gradients one after the other. */
function gradientsOf(results: ReadonlyMap<string, ArrayLike<number>>): number[] {
  return [...results].flatMap(([name, data]) =>
    name.startsWith('gradient/') ? Array.from(data) : [],
  );
}

function interpreted(graph: Graph, feeds: ReadonlyMap<string, Float32Array>): number[] {
  const results = [...interpret(graph, feeds)].map(([name, { data }]) => [name, data] as const);
  return gradientsOf(new Map(results));
}

/** Length of the difference, as a share of the length. */
function distance(found: readonly number[], right: readonly number[]): number {
  const norm = (values: readonly number[]) => Math.hypot(...values);
  return norm(found.map((value, i) => value - right[i]!)) / norm(right);
}

async function computed(graph: Graph, feeds: ReadonlyMap<string, Float32Array>): Promise<number[]> {
  const program = new Program(graph, { name: 'low' });
  const results = new Map<string, Float32Array>();
  try {
    for (const [name, { shape }] of graph.inputs)
      program.bindInput(name, float32(feeds.get(name)!, shape));
    for (const [name, { shape }] of graph.outputs) {
      const data = new Float32Array(sizeOf(shape));
      results.set(name, data);
      program.bindOutput(name, float32(data, shape));
    }
    await program.run();
  } finally {
    program.dispose();
  }
  return gradientsOf(results);
}

describe.each(['dit-xs', 'unet-xs'] as const)('the gradient of %s', (name) => {
  // bfloat16 has 8 bits of mantissa, and the small SongUNet some 40 operators in a row.
  test.each<[LowType, number]>([
    ['bfloat16', 0.04],
    ['float16', 0.005],
  ])('in %s is nearly that of float64', (type, tolerance) => {
    const { graph, feeds } = training(name);
    const right = interpreted(graph, feeds);
    const found = interpreted(lowPrecisionGraph(graph, type), feeds);
    const share = distance(found, right);
    expect(share).toBeLessThan(tolerance);
    // It was rounded at all.
    expect(share).toBeGreaterThan(1e-5);
  });

  test('in float16 is computed by ONNX Runtime', async () => {
    const { graph, feeds } = training(name);
    const right = await computed(graph, feeds);
    const found = await computed(lowPrecisionGraph(graph, 'float16'), feeds);
    expect(distance(found, right)).toBeLessThan(0.005);
  });

  test('in bfloat16 has types that ONNX Runtime takes, though the processor has no kernels', () => {
    const { graph } = training(name);
    const make = () => new Program(lowPrecisionGraph(graph, 'bfloat16'), { name: 'low' });
    expect(make).toThrow(/NOT_IMPLEMENTED|Could not find an implementation/);
  });
});

test('what is computed again on purpose stays so in 16 bits', async () => {
  const { graph, feeds } = training('dit-xs', true);
  const low = lowPrecisionGraph(graph, 'float16');
  expect(low.order).toBe('kept');
  const products = (of: Graph) =>
    operators(of).filter(({ operator }) => /MatMul|Gemm/.test(operator));
  expect(products(low)).toHaveLength(products(graph).length);
  expect(distance(await computed(low, feeds), await computed(graph, feeds))).toBeLessThan(0.005);
});
