/** Statistics over many numbers. The draws are fixed, so these tests cannot fail by chance. */
import { describe, expect, test } from 'vitest';
import { fillNormal, fillUniform } from '../../../src/trainer/random/philox.ts';
import { STREAMS } from '../../../src/trainer/random/streams.ts';

const MANY = 10_000_000;

function normals(count: number, seed = 1, stream = 2, step = 3): Float32Array {
  const out = new Float32Array(count);
  fillNormal(out, seed, stream, step);
  return out;
}

/** Complementary error function to 1.2e-7 relative (Press et al., Numerical Recipes, erfcc). */
function erfc(x: number): number {
  const z = Math.abs(x);
  const t = 1 / (1 + z / 2);
  const coefficients = [
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418,
    0.37409196, 1.00002368, -1.26551223,
  ];
  const polynomial = coefficients.reduce((sum, c) => sum * t + c, 0);
  const value = t * Math.exp(-z * z + polynomial);
  return x >= 0 ? value : 2 - value;
}

const normalCdf = (x: number) => erfc(-x / Math.SQRT2) / 2;

describe('ten million normal numbers', () => {
  const sorted = normals(MANY).sort();

  test('have the moments of the normal distribution', () => {
    const sums = [0, 0, 0, 0];
    for (const z of sorted) {
      const square = z * z;
      sums[0]! += z;
      sums[1]! += square;
      sums[2]! += z * square;
      sums[3]! += square * square;
    }
    // Means and variances of z, z^2, z^3, z^4.
    const expected = [0, 1, 0, 3];
    const variances = [1, 2, 15, 96];
    for (const [k, sum] of sums.entries()) {
      const error = Math.abs(sum / MANY - expected[k]!);
      expect(error).toBeLessThan(4 * Math.sqrt(variances[k]! / MANY));
    }
  });

  test('pass the test of Kolmogorov and Smirnov', () => {
    let distance = 0;
    // Every hundredth order statistic; those between can add at most 100 / MANY = 1e-5.
    for (let i = 0; i < MANY; i += 100) {
      distance = Math.max(distance, Math.abs(normalCdf(sorted[i]!) - (i + 0.5) / MANY));
    }
    // 1.63 / sqrt(N) is exceeded by chance once in a hundred.
    expect(distance + 1e-5).toBeLessThan(1.63 / Math.sqrt(MANY));
  });

  test('reach into the tails, but not beyond what 32 bits give', () => {
    expect(sorted[0]).toBeLessThan(-4.9);
    expect(sorted[0]).toBeGreaterThan(-6.34);
    expect(sorted.at(-1)).toBeGreaterThan(4.9);
    expect(sorted.at(-1)).toBeLessThan(6.34);
  });
});

describe('correlation is within 4 / sqrt(N)', () => {
  const N = 1_000_000;
  const base = normals(N + 16);

  function correlation(a: Float32Array, b: Float32Array): number {
    let sum = 0;
    for (let i = 0; i < N; i++) sum += a[i]! * b[i]!;
    return sum / N;
  }

  const neighbours = [
    { what: 'the next seed', other: () => normals(N, 2) },
    { what: 'a seed that differs in its high word', other: () => normals(N, 1 + 2 ** 32) },
    { what: 'the next stream', other: () => normals(N, 1, 3) },
    { what: 'the stream before', other: () => normals(N, 1, 1) },
    { what: 'the next step', other: () => normals(N, 1, 2, 4) },
    { what: 'a step that differs in its high word', other: () => normals(N, 1, 2, 3 + 2 ** 32) },
    { what: 'stream and step exchanged', other: () => normals(N, 1, 3, 2) },
  ];
  const shifts = Array.from({ length: 16 }, (_, i) => ({
    what: `a shift by ${i + 1}`,
    other: () => base.subarray(i + 1),
  }));

  test.each([...neighbours, ...shifts])('with $what', ({ other }) => {
    expect(Math.abs(correlation(base, other()))).toBeLessThan(4 / Math.sqrt(N));
  });
});

test('no tensor comes twice in 100,000 steps of 8 streams, nor around steps where other generators wrap', () => {
  const streams = Object.values(STREAMS).slice(0, 8);
  const steps = Array.from({ length: 100_000 }, (_, step) => step);
  for (const step of [4079, 4093, 65536]) steps.push(2 ** 32 + step, 2 ** 48 + step);
  const keys = new Float64Array(steps.length * streams.length);
  const four = new Float32Array(4);
  let n = 0;
  for (const step of steps) {
    for (const stream of streams) {
      fillUniform(four, 0, stream, step);
      // 53 bits of the first three numbers of 24 bits each.
      const [a, b, c] = four as unknown as [number, number, number];
      keys[n++] = a * 2 ** 53 + b * 2 ** 29 + Math.floor(c * 32);
    }
  }
  keys.sort();
  let repeats = 0;
  for (let i = 1; i < keys.length; i++) if (keys[i] === keys[i - 1]) repeats++;
  expect(repeats).toBe(0);
});

test('the streams have different numbers', () => {
  expect(new Set(Object.values(STREAMS)).size).toBe(Object.keys(STREAMS).length);
});
