import { describe, expect, test } from 'vitest';
import { quantile, thinCurve } from '../../../src/nodes/pictures/curve.ts';

function pointsOf(values: readonly number[]) {
  return values.map((y, x) => ({ x, y }));
}

describe('thinned curve', () => {
  test('keeps the least and the greatest value of each place, in order of x', () => {
    const { raw } = thinCurve(pointsOf([3, 1, 2, 9, 8, 7, 5, 6, 4]), 3);
    expect(raw.map((p) => [p.x, p.y])).toEqual([
      [0, 3],
      [1, 1],
      [3, 9],
      [5, 7],
      [7, 6],
      [8, 4],
    ]);
  });

  test('a curve of fewer points than places is kept point by point', () => {
    const points = pointsOf([5, -1, 2]);
    expect(thinCurve(points, 100).raw).toEqual(points);
  });

  test('the average of a straight line is the line, but for its very ends', () => {
    const points = pointsOf(Array.from({ length: 1000 }, (_, i) => 2 * i));
    for (const point of thinCurve(points, 1000).average.slice(10, -10)) {
      expect(point.y).toBeCloseTo(2 * point.x, 8);
    }
  });

  test('a lone spike leaves no trace in the average', () => {
    const values = new Array<number>(500).fill(1);
    values[250] = 1e30;
    const { average } = thinCurve(pointsOf(values), 100);
    for (const point of average) expect(point.y).toBeCloseTo(1, 12);
  });

  test('no point gives no curve', () => {
    expect(thinCurve([], 10)).toEqual({ raw: [], average: [] });
  });
});

test('quantiles are values of the list', () => {
  expect(quantile([1, 2, 3, 4, 50], 0)).toBe(1);
  expect(quantile([1, 2, 3, 4, 50], 0.5)).toBe(3);
  expect(quantile([1, 2, 3, 4, 50], 1)).toBe(50);
  expect(quantile([], 0.5)).toBeNaN();
});
