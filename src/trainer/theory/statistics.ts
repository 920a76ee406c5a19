/** @file How far a measured mean is off an expected one, with its 95 % interval and what to make of it. */

/** Relative gaps below this, with their interval, count as equal. */
export const LARGEST_GAP = 0.01;

/** `undecided`: the interval is too wide for either. */
export type Verdict = 'holds' | 'broken' | 'undecided';

export interface Gap {
  readonly expected: number;
  readonly found: number;
  /** (found - expected) / scale. */
  readonly gap: number;
  /** Half of the 95 % interval of the gap. */
  readonly margin: number;
  readonly verdict: Verdict;
}

/**
 * The gap between two means from independent replicates, number i of both with the same random numbers, so that the noise
 * that they share cancels. It is relative to `scale`, the size of what is expected unless told otherwise.
 */
export function gapOf(
  expected: readonly number[],
  found: readonly number[],
  scale = Math.abs(mean(expected)),
): Gap {
  const count = expected.length;
  const differences = found.map((value, i) => value - expected[i]!);
  const difference = mean(differences);
  const squares = differences.map((value) => (value - difference) ** 2);
  const error = Math.sqrt(sum(squares) / (count - 1) / count);
  const gap = difference / scale;
  const margin = (quantile95(count - 1) * error) / scale;
  return {
    expected: mean(expected),
    found: mean(found),
    gap,
    margin,
    verdict: verdictOf(gap, margin),
  };
}

export function verdictOf(gap: number, margin: number): Verdict {
  if (Math.abs(gap) + margin < LARGEST_GAP) return 'holds';
  return Math.abs(gap) - margin > LARGEST_GAP ? 'broken' : 'undecided';
}

/** The verdict on all of several: one that is broken breaks them all. */
export function jointVerdict(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes('broken')) return 'broken';
  return verdicts.every((verdict) => verdict === 'holds') ? 'holds' : 'undecided';
}

export function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The normal distribution's 0.975 quantile. */
const NORMAL_95 = 1.959963984540054;

/** The 0.975 quantile of Student's t, by its expansion in 1 / freedom (Abramowitz & Stegun 26.7.5); 0.1 % off at 5 degrees, less above. */
export function quantile95(freedom: number): number {
  const z = NORMAL_95;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
  ];
  return terms.reduce((total, term, i) => total + term / freedom ** (i + 1), z);
}
