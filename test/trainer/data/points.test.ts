import { describe, expect, test } from 'vitest';
import { POINT_SET_NAMES, pointSet } from '../../../src/trainer/data/points.ts';

/** What the definition of each set implies for one coordinate of many points. */
interface Moments {
  mean: number;
  variance: number;
}

const N = 200_000;

const MOMENTS: Record<string, { x: Moments; y: Moments }> = {
  // Half of radius^2 = 4, and noise of 0.15.
  '8g': { x: { mean: 0, variance: 2 + 0.15 ** 2 }, y: { mean: 0, variance: 2 + 0.15 ** 2 } },
  // cos has mean square 1/2 and mean 0, sin mean square 1/2 and mean 2/pi; centres at -+(1/2, 1/4); scale 1.5.
  moons: {
    x: { mean: 0, variance: 2.25 * (0.5 + 0.25) + 0.08 ** 2 },
    y: { mean: 0, variance: 2.25 * (0.5 - 1 / Math.PI + 1 / 16) + 0.08 ** 2 },
  },
  checker: { x: { mean: 0, variance: 4 / 3 }, y: { mean: 0, variance: 4 / 3 } },
};

describe.each(POINT_SET_NAMES)('%s', (name) => {
  const set = pointSet(name);

  test('is a set of points in the plane without labels', () => {
    expect(set).toMatchObject({ name, shape: [2], classes: 0 });
    expect(set.hash).toMatch(/^[0-9a-f]{64}$/);
    const batch = set.batch(1, 0, 5);
    expect(batch.x.length).toBe(10);
    expect(batch.labels).toBeUndefined();
  });

  test('has the mean and variance that its definition implies', () => {
    const { x } = set.batch(3, 0, N);
    for (const [k, { mean, variance }] of [MOMENTS[name]!.x, MOMENTS[name]!.y].entries()) {
      let sum = 0;
      let squares = 0;
      for (let i = k; i < x.length; i += 2) {
        sum += x[i]!;
        squares += x[i]! ** 2;
      }
      expect(Math.abs(sum / N - mean)).toBeLessThan(0.01);
      expect(Math.abs(squares / N - variance)).toBeLessThan(0.02);
    }
  });

  test('a batch is a function of seed and step, and begins as a smaller one does', () => {
    const { x } = set.batch(1, 7, 100);
    expect(set.batch(1, 7, 100).x).toEqual(x);
    expect(set.batch(1, 7, 30).x).toEqual(x.subarray(0, 60));
    expect(set.batch(1, 8, 100).x).not.toEqual(x);
    expect(set.batch(2, 7, 100).x).not.toEqual(x);
  });
});

test('8g lies around eight centres with deviation 0.15', () => {
  const { x } = pointSet('8g').batch(1, 0, N);
  let squares = 0;
  for (let i = 0; i < x.length; i += 2) {
    const turn = Math.round(Math.atan2(x[i + 1]!, x[i]!) / (Math.PI / 4)) * (Math.PI / 4);
    squares += (x[i]! - 2 * Math.cos(turn)) ** 2 + (x[i + 1]! - 2 * Math.sin(turn)) ** 2;
  }
  expect(Math.sqrt(squares / (2 * N))).toBeCloseTo(0.15, 2);
});

test('moons: either half circle, upper on the left and lower on the right, with deviation 0.08', () => {
  const { x } = pointSet('moons').batch(1, 0, N);
  let squares = 0;
  for (let i = 0; i < x.length; i += 2) {
    const toUpper = Math.hypot(x[i]! + 0.75, x[i + 1]! + 0.375) - 1.5;
    const toLower = Math.hypot(x[i]! - 0.75, x[i + 1]! - 0.375) - 1.5;
    squares += Math.min(toUpper ** 2, toLower ** 2);
  }
  expect(Math.sqrt(squares / N)).toBeCloseTo(0.08, 2);
});

test('checker fills the squares whose column and row are both even or both odd', () => {
  const { x } = pointSet('checker').batch(1, 0, N);
  const squares = new Set<string>();
  for (let i = 0; i < x.length; i += 2) squares.add([x[i]!, x[i + 1]!].map(Math.floor).join());
  expect([...squares].sort()).toEqual(
    ['-2,-2', '-2,0', '-1,-1', '-1,1', '0,-2', '0,0', '1,-1', '1,1'].sort(),
  );
});

test('the sets have different hashes', () => {
  expect(new Set(POINT_SET_NAMES.map((name) => pointSet(name).hash)).size).toBe(3);
});
