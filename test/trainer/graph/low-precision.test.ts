/** Training graphs in 16 bits: what is cast, that gradients stay, and that ONNX Runtime takes the graphs. */
import { describe, expect, test } from 'vitest';
import type { Graph, OperatorNode } from '../../../src/trainer/graph/graph.ts';
import { Graph as NewGraph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { LOW_TYPES, lowPrecisionGraph } from '../../../src/trainer/graph/low-precision.ts';
import { neededNodes } from '../../../src/trainer/graph/onnx-encode.ts';
import {
  add,
  cast,
  concat,
  matMul,
  sigmoid,
  slice,
  softmax,
} from '../../../src/trainer/graph/ops.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import {
  computed,
  distance,
  drawFeeds,
  type Feeds,
  gradientCase,
  gradientsOf,
} from '../../support/gradient-case.ts';
import { roundingGraph } from '../../support/sixteen-bits.ts';

/** Operators that some output needs, in order. */
const operators = (graph: Graph): OperatorNode[] => {
  const needed = neededNodes(graph);
  return graph.nodes.filter(
    (node): node is OperatorNode => node.kind === 'operator' && needed.has(node),
  );
};

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
    expect(typesOf(low, 'Softmax')).toEqual(['bfloat16']);
    expect([...low.inputs.values(), ...low.outputs.values()].map(({ dtype }) => dtype)).toEqual([
      ...['float32', 'float32', 'float32'],
    ]);
    // x, the constant, and the weight: once, though it is read three times.
    expect(typesOf(low, 'Cast').filter((type) => type === 'bfloat16')).toHaveLength(3);
  });

  test('of float32 and 16 bits together goes on in float32', () => {
    const graph = new NewGraph();
    const x = graph.input('x', [4, 8]);
    graph.output('y', add(matMul(x, graph.input('w', [8, 8])), x));
    expect(typesOf(lowPrecisionGraph(graph, 'float16'), 'Add')).toEqual(['float32']);
  });

  test('adds a bias in the type of the product', () => {
    const graph = new NewGraph();
    const product = matMul(graph.input('x', [4, 8]), graph.input('w', [8, 8]));
    graph.output('y', add(product, graph.input('b', [8])));
    expect(typesOf(lowPrecisionGraph(graph, 'bfloat16'), 'Add')).toEqual(['bfloat16']);
  });

  test('casts before it moves, where that is less to cast', () => {
    const graph = new NewGraph();
    const [a, b] = [graph.input('a', [4, 6]), graph.input('b', [6, 6])];
    const rows = concat(
      [0, 1, 2].map((i) => slice(a, 0, i, i + 2)),
      0,
    );
    graph.output('of one', matMul(rows, b));
    graph.output('of two', matMul(concat([a, graph.input('c', [2, 6])], 0), b));
    const low = lowPrecisionGraph(graph, 'bfloat16');
    expect(typesOf(low, 'Slice')).toEqual(['bfloat16', 'bfloat16', 'bfloat16']);
    expect(typesOf(low, 'Concat')).toEqual(['bfloat16', 'float32']);
    const cast = operators(low).filter(({ operator }) => operator === 'Cast');
    const down = cast.filter(({ outputs }) => outputs[0]!.dtype === 'bfloat16');
    expect(down.map(({ outputs }) => outputs[0]!.shape[0])).toEqual([4, 6, 6]);
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

function interpreted(graph: Graph, feeds: Feeds): number[] {
  const results = [...interpret(graph, feeds)].map(([name, { data }]) => [name, data] as const);
  return gradientsOf(new Map(results));
}

async function computedOnce(graph: Graph, feeds: Feeds): Promise<readonly number[]> {
  const [found] = await computed(graph, [feeds]);
  return found!.gradient;
}

describe.each([
  ['dit-xs', { bfloat16: 0.006, float16: 0.0008 }],
  // Some 40 operators in a row.
  ['unet-xs', { bfloat16: 0.03, float16: 0.004 }],
] as const)('the gradient of %s', (name, tolerances) => {
  const made = gradientCase(name);
  const { graph } = made;
  const feeds = drawFeeds(made, 0);
  const right = interpreted(graph, feeds);

  test.each(LOW_TYPES)('in %s is nearly that of float64', async (type) => {
    const low = lowPrecisionGraph(graph, type);
    const found = interpreted(low, feeds);
    expect(distance(found, right)).toBeLessThan(tolerances[type]);
    // It was rounded.
    expect(distance(found, right)).toBeGreaterThan(tolerances[type] / 4);
    // Sums in float32 differ, and what is then rounded the other way.
    const emulated = await computedOnce(roundingGraph(low, type), feeds);
    expect(distance(emulated, found)).toBeLessThan(tolerances[type] / 3);
  });

  test('in float16 is computed by ONNX Runtime', async () => {
    const found = await computedOnce(lowPrecisionGraph(graph, 'float16'), feeds);
    expect(distance(found, right)).toBeLessThan(0.005);
  });

  test('in bfloat16 has types that ONNX Runtime takes, though the processor has no kernels', () => {
    const make = () => new Program(lowPrecisionGraph(graph, 'bfloat16'), { name: 'low' });
    expect(make).toThrow(/NOT_IMPLEMENTED|Could not find an implementation/);
  });
});

test('what is computed again on purpose stays so in 16 bits', async () => {
  const made = gradientCase('dit-xs', true);
  const { graph } = made;
  const feeds = drawFeeds(made, 0);
  const low = lowPrecisionGraph(graph, 'float16');
  expect(low.order).toBe('kept');
  const products = (of: Graph) =>
    operators(of).filter(({ operator }) => /MatMul|Gemm/.test(operator));
  expect(products(low)).toHaveLength(products(graph).length);
  expect(distance(await computedOnce(low, feeds), await computedOnce(graph, feeds))).toBeLessThan(
    0.005,
  );
});
