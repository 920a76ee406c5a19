/** Exact velocities against the formulas written out in plain numbers. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { velocityOfNormals, velocityOfPoints } from '../../../src/trainer/theory/exact-velocity.ts';

const X = [0.3, -1.1, 1.7, 0.4, -0.6, 2.3];
const T = [0.05, 0.41, 0.93];
const POINTS = [0.5, -1.2, 1.9, 0.7, -0.4, 0.1, 2.2, -0.8];

function ofPoints(points: readonly number[]): number[] {
  const graph = new Graph();
  const x = graph.input('x', [3, 2], 'float64');
  const t = graph.input('t', [3], 'float64');
  const given = graph.input('points', [points.length / 2, 2], 'float64');
  graph.output('v', velocityOfPoints(x, t, given));
  const feeds = { x: X, t: T, points };
  return [...interpret(graph, new Map(Object.entries(feeds))).get('v')!.data];
}

function ofNormals(means: readonly number[], deviations: readonly number[]): number[] {
  const graph = new Graph();
  const parts = [means.length / 2, 2];
  const v = velocityOfNormals(
    graph.input('x', [3, 2], 'float64'),
    graph.input('t', [3], 'float64'),
    graph.input('means', parts, 'float64'),
    graph.input('deviations', parts, 'float64'),
  );
  graph.output('v', v);
  const feeds = { x: X, t: T, means, deviations };
  return [...interpret(graph, new Map(Object.entries(feeds))).get('v')!.data];
}

test('the velocity of points is the mean of (x - x_i) / t with weights by distance', () => {
  const expected = T.flatMap((t, row) => {
    const at = [X[2 * row]!, X[2 * row + 1]!];
    let total = 0;
    const sum = [0, 0];
    for (let i = 0; i < POINTS.length; i += 2) {
      const away = at.map((x, j) => x - (1 - t) * POINTS[i + j]!);
      const weight = Math.exp(-(away[0]! ** 2 + away[1]! ** 2) / (2 * t * t));
      total += weight;
      for (const j of [0, 1]) sum[j]! += (weight * (at[j]! - POINTS[i + j]!)) / t;
    }
    return sum.map((x) => x / total);
  });
  for (const [i, v] of ofPoints(POINTS).entries()) expect(v).toBeCloseTo(expected[i]!, 9);
});

describe('the velocity of normal distributions', () => {
  test('is affine for one, axis by axis', () => {
    const [m, s] = [0.7, 0.5];
    const found = ofNormals([m, -0.2], [s, 1.4]);
    for (const [row, t] of T.entries()) {
      const spread = (1 - t) ** 2 * s ** 2 + t ** 2;
      const x = X[2 * row]!;
      const expected = ((t - (1 - t) * s ** 2) / spread) * (x - (1 - t) * m) - m;
      expect(found[2 * row]).toBeCloseTo(expected, 12);
    }
  });

  test('is that of points when they are narrow', () => {
    const narrow = ofNormals(
      POINTS,
      POINTS.map(() => 1e-7),
    );
    for (const [i, v] of ofPoints(POINTS).entries()) expect(narrow[i]).toBeCloseTo(v, 8);
  });

  test('of a mixture is a mean of its parts, which nearness decides', () => {
    const left = ofNormals([-9, 0], [0.3, 0.3]);
    const both = ofNormals([-9, 0, 9, 0], [0.3, 0.3, 0.3, 0.3]);
    const right = ofNormals([9, 0], [0.3, 0.3]);
    // At t = 0.05 the other part is some 20 deviations away.
    expect(both[0]).toBeCloseTo(right[0]!, 9);
    expect(Math.abs(both[0]! - left[0]!)).toBeGreaterThan(10);
  });
});
