/** Resampling by products with matrices is the convolution with the filter that EDM applies. */
import { expect, test } from 'vitest';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { convolution, transposedConvolution } from '../../../src/trainer/graph/ops.ts';
import { tableOf } from '../../../src/trainer/nn/constants.ts';
import { downsample, filterTable, upsample } from '../../../src/trainer/nn/resample.ts';
import { relativeGap } from '../../support/gradcheck.ts';
import { randomNumbers } from '../../support/operator-cases.ts';

const SHAPE = [2, 3, 6, 6];

/** The filter, `scale` times, for each of three channels by itself. */
function grouped(like: Value, filter: readonly number[], scale: number): Value {
  const table = [...filterTable(filter)].map((f) => f * scale);
  const size = filter.length;
  return tableOf(like.graph, 'float64', [3, 1, size, size], [...table, ...table, ...table]);
}

test.each([
  [[1, 1]],
  [[1, 3, 3, 1]],
  // Not symmetric, so a filter turned round shows.
  [[1, 2, 4, 3]],
  [[1, -1, 4, 5, 2, 1]],
])('filter %j', (filter) => {
  const graph = new Graph();
  const x = graph.input('x', SHAPE, 'float64');
  const pad = (filter.length - 2) / 2;
  const window = { strides: [2, 2], pads: [pad, pad, pad, pad], group: 3 };
  graph.output('down', downsample(x, filter));
  graph.output('down by convolution', convolution(x, grouped(x, filter, 1), undefined, window));
  graph.output('up', upsample(x, filter));
  graph.output(
    'up by convolution',
    transposedConvolution(x, grouped(x, filter, 4), undefined, window),
  );
  const numbers = Array.from({ length: 216 }, randomNumbers(9));
  const found = interpret(graph, new Map([['x', numbers]]));
  for (const [way, size] of [
    ['down', 3],
    ['up', 12],
  ] as const) {
    const reference = found.get(`${way} by convolution`)!;
    expect(reference.shape).toEqual([2, 3, size, size]);
    expect(found.get(way)!.shape).toEqual(reference.shape);
    // The filter's table is float32, as in files.
    expect(relativeGap(found.get(way)!.data, reference.data)).toBeLessThan(1e-6);
  }
});
