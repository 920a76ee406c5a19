import { describe, expect, test } from 'vitest';
import { append, MAX_POINTS, smooth, thin } from '../../src-web/points.ts';

const point = (step: number, a: number | null = step) => ({ step, metrics: { a } });
const steps = (points: readonly { step: number }[]) => points.map(({ step }) => step);

describe('appending', () => {
  test.each([
    { name: 'goes on', old: [1, 3], newer: [4, 7], expected: [1, 3, 4, 7] },
    { name: 'takes the place of the same step', old: [1, 3], newer: [3], expected: [1, 3] },
    {
      name: 'goes back to a checkpoint',
      old: [1, 3, 5, 9],
      newer: [4, 5],
      expected: [1, 3, 4, 5],
    },
    { name: 'nothing changes nothing', old: [1, 3], newer: [], expected: [1, 3] },
  ])('$name', ({ old, newer, expected }) => {
    const points = append(
      old.map((step) => point(step)),
      newer.map((step) => point(step, -step)),
    );
    expect(steps(points)).toEqual(expected);
    for (const { step, metrics } of points) {
      expect(metrics['a']).toBe(newer.includes(step) ? -step : step);
    }
  });

  test('a long run stays small, in order, and keeps its ends', () => {
    let points: readonly ReturnType<typeof point>[] = [];
    let most = 0;
    for (let step = 5; step <= 50_000; step += 5) {
      points = append(points, [point(step)]) as typeof points;
      most = Math.max(most, points.length);
    }
    expect(most).toBe(MAX_POINTS);
    expect(points.length).toBeGreaterThan(MAX_POINTS / 3);
    expect(steps(points)).toEqual(steps(points).toSorted((a, b) => a - b));
    expect(points.at(-1)?.step).toBe(50_000);
    expect(points[0]!.step).toBeLessThan(500);
  });
});

describe('thinning', () => {
  test('takes means, passes over gaps, and covers the steps evenly', () => {
    const points = [point(1, 2), point(2, 4), point(3, null), point(4, 7), point(9, null)];
    expect(thin(points, 3)).toEqual([point(3, 3), point(4, 7), point(9, null)]);
  });

  test('keeps metrics that only some points have', () => {
    const points = [
      { step: 1, metrics: { a: 1 } },
      { step: 2, metrics: { b: 3 } },
    ];
    expect(thin(points, 1)).toEqual([{ step: 2, metrics: { a: 1, b: 3 } }]);
  });
});

describe('smoothing', () => {
  test('leaves a constant alone from its start, and gaps where they are', () => {
    const values = Array.from({ length: 200 }, (_, i) => (i % 7 === 3 ? null : 4.5));
    smooth(values).forEach((value, i) => {
      if (values[i] === null) expect(value).toBeNull();
      else expect(value).toBeCloseTo(4.5, 12);
    });
  });

  test('calms noise and follows a step', () => {
    const noisy = Array.from({ length: 400 }, (_, i) => (i < 200 ? 1 : 3) + (i % 2 ? 0.5 : -0.5));
    const smoothed = smooth(noisy) as number[];
    expect(Math.abs(smoothed[199]! - 1)).toBeLessThan(0.1);
    expect(Math.abs(smoothed[399]! - 3)).toBeLessThan(0.1);
  });

  test('few points stay as they are', () => expect(smooth([1, 5, 2])).toEqual([1, 5, 2]));
});
