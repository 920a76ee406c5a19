import { describe, expect, test } from 'vitest';
import {
  fillTimes,
  type TimeDensity,
  TimeDensitySchema,
} from '../../../src/trainer/flow/density.ts';

const COUNT = 40_000;

function times(density: TimeDensity, seed = 1, stream = 2, step = 3, count = COUNT): Float32Array {
  const out = new Float32Array(count);
  fillTimes(out, density, seed, stream, step);
  return out;
}

const shareBelow = (values: Float32Array, bound: number) =>
  values.reduce((n, t) => n + Number(t < bound), 0) / values.length;

/** Four standard errors of a share of COUNT draws, at most. */
const SHARE_ERROR = (4 * 0.5) / Math.sqrt(COUNT);

const normalCdf = (x: number) => {
  // Midpoint rule from -8, exact to 1e-8.
  const steps = 4000;
  const width = (x + 8) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) sum += Math.exp(-((-8 + (i + 0.5) * width) ** 2) / 2);
  return (sum * width) / Math.sqrt(2 * Math.PI);
};

const logit = (t: number) => Math.log(t / (1 - t));

describe('uniform', () => {
  const density = { kind: 'uniform', min: 0.1, max: 0.6 } as const;

  test.each([0.15, 0.2, 0.35, 0.5])('share below %d', (bound) => {
    const share = shareBelow(times(density), bound);
    expect(Math.abs(share - (bound - 0.1) / 0.5)).toBeLessThan(SHARE_ERROR);
  });

  test('stays in its range', () => {
    expect(times(density).every((t) => t >= Math.fround(0.1) && t <= Math.fround(0.6))).toBe(true);
  });
});

describe('logit-normal', () => {
  const density = { kind: 'logit-normal', mean: 0.7, std: 1.6, min: 0.05, max: 0.9 } as const;

  test.each([0.1, 0.3, 0.5, 0.8])('share below %d', (bound) => {
    const expected = normalCdf((logit(bound) - density.mean) / density.std);
    expect(Math.abs(shareBelow(times(density), bound) - expected)).toBeLessThan(SHARE_ERROR);
  });

  test('what lies outside of the range is moved to its ends', () => {
    const values = times(density);
    const atTop = values.reduce((n, t) => n + Number(t === Math.fround(0.9)), 0) / COUNT;
    const beyond = 1 - normalCdf((logit(0.9) - density.mean) / density.std);
    expect(Math.abs(atTop - beyond)).toBeLessThan(SHARE_ERROR);
    expect(Math.min(...values)).toBe(Math.fround(0.05));
  });

  test('without bounds the ends are never passed', () => {
    const wide = times({ ...density, std: 30, min: 0, max: 1 });
    expect(wide.every((t) => t >= 0 && t <= 1)).toBe(true);
  });
});

describe('edm-schedule', () => {
  const density = { kind: 'edm-schedule', min: 0.002, max: 0.960643 } as const;
  const values = times(density);

  /** Step u of EDM's schedule from noise level 0.002 to 80, as SiD draws u evenly from 0 to 0.8. */
  const level = (u: number) => (80 ** (1 / 7) + (1 - u) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7;

  test.each([0.1, 0.25, 0.5, 0.75])('share below step %d', (u) => {
    const sigma = level(u);
    const share = shareBelow(values, sigma / (1 + sigma));
    expect(Math.abs(share - u / 0.8)).toBeLessThan(SHARE_ERROR);
  });

  test('ends where SiD ends', () => {
    const sigma = level(0.8);
    expect(density.max).toBeCloseTo(sigma / (1 + sigma), 5);
    expect(Math.max(...values)).toBeLessThanOrEqual(Math.fround(density.max));
    expect(Math.min(...values)).toBeGreaterThanOrEqual(Math.fround(0.00199999));
  });

  test('pure noise is no part of it', () => {
    expect(TimeDensitySchema.safeParse({ kind: 'edm-schedule', max: 1 }).success).toBe(false);
  });
});

test("EDM's log-normal noise levels are logit-normal times", () => {
  const wide = { kind: 'logit-normal', mean: -1.2, std: 1.2, min: 0, max: 1 } as const;
  const logs = Float64Array.from(times(wide), (t) => Math.log(t / (1 - t)));
  const mean = logs.reduce((a, b) => a + b, 0) / COUNT;
  const variance = logs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / COUNT;
  expect(Math.abs(mean + 1.2)).toBeLessThan((4 * 1.2) / Math.sqrt(COUNT));
  expect(Math.sqrt(variance)).toBeCloseTo(1.2, 1);
});

test.each(['uniform', 'logit-normal', 'edm-schedule'] as const)(
  '%s: seed, stream and step decide',
  (kind) => {
    const density = TimeDensitySchema.parse({ kind });
    const first = times(density, 1, 2, 3, 8);
    expect(times(density, 1, 2, 3, 8)).toEqual(first);
    expect(times(density, 1, 2, 3, 20).subarray(0, 8)).toEqual(first);
    for (const other of [
      [9, 2, 3],
      [1, 9, 3],
      [1, 2, 9],
    ] as const) {
      expect(times(density, ...other, 8)).not.toEqual(first);
    }
  },
);

describe('the schema', () => {
  test('fills in defaults', () => {
    expect(TimeDensitySchema.parse({ kind: 'uniform' })).toEqual({
      kind: 'uniform',
      min: 0.02,
      max: 0.98,
    });
    expect(TimeDensitySchema.parse({ kind: 'logit-normal' })).toEqual({
      kind: 'logit-normal',
      mean: 0,
      std: 1,
      min: 0.02,
      max: 0.98,
    });
  });

  test.each([
    { kind: 'normal' },
    { kind: 'uniform', min: 0.5, max: 0.5 },
    { kind: 'uniform', min: -0.1 },
    { kind: 'uniform', max: 1.1 },
    { kind: 'uniform', mean: 0 },
    { kind: 'logit-normal', std: 0 },
  ])('refuses %j', (density) => {
    expect(TimeDensitySchema.safeParse(density).success).toBe(false);
  });
});
