import { describe, expect, test } from 'vitest';
import { POINT_SET_NAMES, type PointSetName, pointSet } from '../../../src/trainer/data/points.ts';
import { modeShares } from '../../../src/trainer/metrics/mode-shares.ts';

const MODES: Record<PointSetName, number> = { '8g': 8, moons: 2, checker: 8 };

/** The only mode that the point is counted in, or undefined. */
function modeOf(name: PointSetName, point: readonly [number, number]): number | undefined {
  const shares = modeShares(name, Float32Array.from(point));
  expect(shares.length).toBe(MODES[name]);
  const mode = shares.indexOf(1);
  return mode < 0 ? undefined : mode;
}

describe.each(POINT_SET_NAMES)('%s', (name) => {
  test('data have equal shares of all modes', () => {
    const shares = modeShares(name, pointSet(name).batch(1, 0, 40_000).x);
    expect(shares.length).toBe(MODES[name]);
    expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    for (const share of shares) expect(Math.abs(share * MODES[name] - 1)).toBeLessThan(0.06);
  });

  test('points that are not finite are in no mode', () => {
    expect(modeOf(name, [Number.NaN, 1])).toBeUndefined();
    expect(modeOf(name, [1, -Infinity])).toBeUndefined();
  });
});

test.each<{ name: PointSetName; point: [number, number]; mode: number | undefined }>([
  { name: '8g', point: [2, 0], mode: 0 },
  { name: '8g', point: [5, -0.1], mode: 0 },
  { name: '8g', point: [1.4, 1.4], mode: 1 },
  { name: '8g', point: [-1, 0.1], mode: 4 },
  { name: '8g', point: [-1, -0.1], mode: 4 },
  { name: '8g', point: [1.4, -1.4], mode: 7 },
  // Top of the upper half circle, and its right end inside the lower one.
  { name: 'moons', point: [-0.75, 1.125], mode: 0 },
  { name: 'moons', point: [0.75, -0.375], mode: 0 },
  { name: 'moons', point: [0.75, -1.125], mode: 1 },
  { name: 'moons', point: [-0.75, 0.375], mode: 1 },
  { name: 'checker', point: [-1.5, -1.5], mode: 0 },
  { name: 'checker', point: [-1.5, 0.5], mode: 1 },
  { name: 'checker', point: [-0.5, -0.5], mode: 2 },
  { name: 'checker', point: [1.5, 1.5], mode: 7 },
  { name: 'checker', point: [-1.5, -0.5], mode: undefined },
  { name: 'checker', point: [2.5, 0.5], mode: undefined },
])('$name counts $point in mode $mode', ({ name, point, mode }) => {
  expect(modeOf(name, point)).toBe(mode);
});
