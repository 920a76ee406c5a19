/** The loss of flow matching under its weights over time. */
import { expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { flowMatchingLoss, flowWeight } from '../../../src/trainer/methods/flow-matching.ts';
import { realDataOnlineLoss } from '../../../src/trainer/methods/real-data.ts';

const T = [0.1, 0.4, 0.85];
const SHAPE = [3, 2, 2];
const V = Float64Array.from({ length: 12 }, (_, i) => Math.sin(i + 0.3));
const C = Float64Array.from({ length: 12 }, (_, i) => Math.cos(1.7 * i));

function inputs() {
  const graph = new Graph();
  const input = (name: string, shape: number[]) => graph.input(name, shape, 'float64');
  const feeds = new Map<string, ArrayLike<number>>([
    ['v', V],
    ['c', C],
    ['t', T],
  ]);
  const run = () => interpret(graph, feeds).get('loss')!.data[0]!;
  return { graph, v: input('v', SHAPE), c: input('c', SHAPE), t: input('t', [3]), run };
}

/** |v - c|^2 of each sample. */
const squares = T.map((_, b) =>
  V.subarray(4 * b, 4 * b + 4).reduce((sum, v, i) => sum + (v - C[4 * b + i]!) ** 2, 0),
);

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

test('without a weight it is the mean of |v - c|^2', () => {
  const { graph, v, c, t, run } = inputs();
  expect(flowWeight('velocity', t, 0.5)).toBeUndefined();
  graph.output('loss', flowMatchingLoss(v, c));
  expect(run()).toBeCloseTo(mean(squares), 12);
});

test("edm: EDM's weight of the denoiser's loss |D - x0|^2, where D - x0 = t (c - v)", () => {
  const sigmaData = 0.7;
  const { graph, v, c, t, run } = inputs();
  graph.output('loss', flowMatchingLoss(v, c, flowWeight('edm', t, sigmaData)));
  const expected = mean(
    T.map((time, b) => {
      const sigma = time / (1 - time);
      const lambda = (sigma ** 2 + sigmaData ** 2) / (sigma * sigmaData) ** 2;
      return lambda * time ** 2 * squares[b]!;
    }),
  );
  expect(run()).toBeCloseTo(expected, 12);
});

test('the real-data term weighs student and real samples each at their times', () => {
  const { graph, v, c, t, run } = inputs();
  const weight = flowWeight('edm', t, 0.5)!;
  const weights = { realAlpha: 0.5, realBeta: 0.5 };
  graph.output('loss', realDataOnlineLoss({ v, c, weight }, { v, c }, weights));
  const weighted = mean(T.map((time, b) => (4 * time ** 2 + (1 - time) ** 2) * squares[b]!));
  expect(run()).toBeCloseTo(0.5 * weighted + 0.5 * mean(squares), 12);
});
