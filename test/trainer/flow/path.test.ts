import { expect, test } from 'vitest';
import { linearPath, perSample } from '../../../src/trainer/flow/path.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';

test('the path runs from data at t = 0 to noise at t = 1, each sample at its own time', () => {
  const graph = new Graph();
  const shape = [3, 1, 2];
  const x0 = graph.input('x0', shape, 'float64');
  const x1 = graph.input('x1', shape, 'float64');
  const { xt, c } = linearPath(x0, x1, graph.input('t', [3], 'float64'));
  graph.output('xt', xt);
  graph.output('c', c);
  const results = interpret(
    graph,
    new Map([
      ['x0', [1, 2, 3, 4, 5, 6]],
      ['x1', [-1, 0, 1, 8, 7, 2]],
      ['t', [0, 0.25, 1]],
    ]),
  );
  expect([...results.get('xt')!.data]).toEqual([1, 2, 2.5, 5, 7, 2]);
  expect([...results.get('c')!.data]).toEqual([-2, -2, -2, 4, 2, -4]);
});

test.each([
  [
    [4, 2],
    [4, 1],
  ],
  [
    [4, 3, 8, 8],
    [4, 1, 1, 1],
  ],
  [[4], [4]],
])('for samples [%s] times have the shape [%s]', (shape, expected) => {
  const graph = new Graph();
  expect(perSample(graph.input('t', [4]), graph.input('x', shape)).shape).toEqual(expected);
});
