import { expect, test } from 'vitest';
import { flopsOf } from '../../../src/trainer/graph/flops.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import {
  add,
  batchedMatMul,
  convolution,
  exp,
  gemm,
  matMul,
  transposedConvolution,
} from '../../../src/trainer/graph/ops.ts';

const input = (graph: Graph, name: string, ...shape: number[]) => graph.input(name, shape);

test.each<[string, (graph: Graph) => Value, number]>([
  ['a product', (g) => matMul(input(g, 'a', 3, 5), input(g, 'b', 5, 7)), 2 * 3 * 5 * 7],
  [
    'a product of each of a batch with one matrix',
    (g) => matMul(input(g, 'a', 4, 3, 5), input(g, 'b', 5, 7)),
    4 * 2 * 3 * 5 * 7,
  ],
  [
    'a product of transposed factors',
    (g) =>
      gemm(input(g, 'a', 5, 3), input(g, 'b', 7, 5), undefined, { transA: true, transB: true }),
    2 * 3 * 5 * 7,
  ],
  [
    'a batched product of a transposed factor',
    (g) => batchedMatMul(input(g, 'a', 2, 5, 3), input(g, 'b', 2, 5, 7), { transA: true }),
    2 * 2 * 3 * 5 * 7,
  ],
  [
    'a convolution of stride 2: 3 x 3 results of 6 channels from 4',
    (g) => convolution(input(g, 'x', 2, 4, 7, 7), input(g, 'w', 6, 4, 3, 3), undefined, STRIDED),
    2 * (2 * 6 * 3 * 3) * (4 * 3 * 3),
  ],
  [
    'a convolution in two groups',
    (g) =>
      convolution(input(g, 'x', 2, 4, 5, 5), input(g, 'w', 6, 2, 3, 3), undefined, { group: 2 }),
    2 * (2 * 6 * 3 * 3) * (2 * 3 * 3),
  ],
  [
    'a transposed convolution counts as the convolution that it turns round',
    (g) =>
      transposedConvolution(
        input(g, 'x', 2, 6, 3, 3),
        input(g, 'w', 6, 4, 3, 3),
        undefined,
        STRIDED,
      ),
    2 * (2 * 6 * 3 * 3) * (4 * 3 * 3),
  ],
  ['elementwise operators count nothing', (g) => exp(add(input(g, 'a', 9), 1)), 0],
])('%s', (_title, build, flops) => {
  const graph = new Graph();
  graph.output('y', build(graph));
  expect(flopsOf(graph)).toBe(flops);
});

const STRIDED = { strides: [2, 2] };

test('what no output needs is not counted, what two need is counted once', () => {
  const graph = new Graph();
  const a = input(graph, 'a', 2, 3);
  const shared = matMul(a, input(graph, 'b', 3, 5));
  const other = matMul(a, input(graph, 'c', 3, 11));
  graph.output('y', exp(shared));
  graph.output('z', add(shared, 1));
  expect(flopsOf(graph)).toBe(2 * 2 * 3 * 5);
  expect(flopsOf(graph, [other])).toBe(2 * 2 * 3 * 11);
});
