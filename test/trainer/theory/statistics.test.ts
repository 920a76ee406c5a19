/** Gaps, their intervals and verdicts. */
import { describe, expect, test } from 'vitest';
import { fillNormal } from '../../../src/trainer/random/philox.ts';
import {
  gapOf,
  jointVerdict,
  quantile95,
  type Verdict,
  verdictOf,
} from '../../../src/trainer/theory/statistics.ts';

test.each([
  // Tables of Student's t.
  [5, 2.5706, 2],
  [7, 2.3646, 2],
  [15, 2.1314, 3],
  [31, 2.0395, 4],
  [1e9, 1.959964, 5],
])("Student's t with %i degrees of freedom", (freedom, expected, digits) => {
  expect(quantile95(freedom)).toBeCloseTo(expected, digits);
});

test('noise that both share cancels', () => {
  const noise = [0.4, -1.3, 2.2, -0.7, 0.9, -1.5];
  const expected = noise.map((x) => 5 + x);
  const { gap, margin, verdict } = gapOf(
    expected,
    expected.map((x, i) => x + 0.002 * (i % 2)),
  );
  expect(gap).toBeCloseTo(0.001 / 5, 9);
  expect(margin).toBeLessThan(0.001);
  expect(verdict).toBe('holds');
});

test('intervals hold the truth in 95 % of cases', () => {
  const draws = new Float32Array(2000 * 8);
  fillNormal(draws, 11, 901, 0);
  let covered = 0;
  for (let i = 0; i < 2000; i++) {
    const differences = [...draws.subarray(8 * i, 8 * i + 8)];
    const { gap, margin } = gapOf(
      differences.map(() => 4),
      differences.map((x) => 4.8 + x),
    );
    if (Math.abs(gap - 0.2) <= margin) covered++;
  }
  // Three deviations of a count of 2000.
  expect(covered / 2000).toBeGreaterThan(0.935);
  expect(covered / 2000).toBeLessThan(0.965);
});

describe('verdicts', () => {
  test.each<[number, number, Verdict]>([
    [0.004, 0.005, 'holds'],
    [-0.004, 0.005, 'holds'],
    [0.004, 0.007, 'undecided'],
    [0.02, 0.011, 'undecided'],
    [0.02, 0.009, 'broken'],
    [-0.5, 0.01, 'broken'],
    [Number.NaN, 0.001, 'undecided'],
  ])('a gap of %d +- %d: %s', (gap, margin, verdict) => {
    expect(verdictOf(gap, margin)).toBe(verdict);
  });

  test.each<[Verdict[], Verdict]>([
    [['holds', 'holds'], 'holds'],
    [['holds', 'undecided'], 'undecided'],
    [['undecided', 'broken'], 'broken'],
  ])('of %j: %s', (verdicts, joint) => {
    expect(jointVerdict(verdicts)).toBe(joint);
  });
});
