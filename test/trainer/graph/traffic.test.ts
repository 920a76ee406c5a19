import { expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { add, cast, matMul, reshape } from '../../../src/trainer/graph/ops.ts';
import { trafficOf } from '../../../src/trainer/graph/traffic.ts';

test('each operator reads its inputs and writes its outputs, at the size of their elements', () => {
  const graph = new Graph();
  const a = graph.input('a', [2, 3]);
  const b = graph.input('b', [3, 5]);
  graph.output('y', cast(matMul(a, b), 'float64'));
  expect(trafficOf(graph)).toBe(4 * (6 + 15 + 10) + 4 * 10 + 8 * 10);
});

test('another shape of the same memory, and what no output needs, cost nothing', () => {
  const graph = new Graph();
  const a = graph.input('a', [2, 3]);
  add(a, a);
  graph.output('y', reshape(a, [6]));
  expect(trafficOf(graph)).toBe(0);
});
