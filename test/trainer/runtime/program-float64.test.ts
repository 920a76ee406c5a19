/** Programs in float64, for which ONNX Runtime has not all of its operators. */
import { expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { reduceSum, silu, square } from '../../../src/trainer/graph/ops.ts';
import { runOnce } from '../../support/gradcheck.ts';

test('SiLU and its gradient run, though their parts are not fused', () => {
  const graph = new Graph();
  const x = graph.input('x', [5], 'float64');
  const y = silu(x);
  graph.output('y', y);
  graph.output('dx', gradients(reduceSum(square(y)), [x])[0]!);
  const feeds = new Map([['x', [-3.7, -0.2, 0, 0.9, 5.1]]]);
  const expected = interpret(graph, feeds);
  for (const [name, { data }] of runOnce(graph, feeds)) {
    for (const [i, value] of data.entries()) {
      expect(value).toBeCloseTo(expected.get(name)!.data[i]!, 13);
    }
  }
});
