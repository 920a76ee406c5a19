/** Sobol's sequence with Owen's scrambling. */
import { describe, expect, test } from 'vitest';
import { MOST_AXES, QuasiRandom } from '../../../src/trainer/theory/quasi-random.ts';

const axes = Array.from({ length: MOST_AXES }, (_, axis) => axis);

test.each(axes)('axis %i has a point in each of 2^k equal intervals', (axis) => {
  const sequence = new QuasiRandom(3, 5);
  // Any aligned run of 256 points, not only the first.
  const cells = new Set(
    Array.from({ length: 256 }, (_, n) => Math.floor(256 * sequence.at(512 + n, axis))),
  );
  expect(cells.size).toBe(256);
});

test('the first two axes have a point in each cell of every 2^a by 2^b grid of 256', () => {
  const sequence = new QuasiRandom(1, 0);
  for (let a = 0; a <= 8; a++) {
    const cells = new Set(
      Array.from({ length: 256 }, (_, n) => {
        const column = Math.floor(2 ** a * sequence.at(n, 0));
        return column * 2 ** (8 - a) + Math.floor(2 ** (8 - a) * sequence.at(n, 1));
      }),
    );
    expect(cells.size, `2^${a} columns`).toBe(256);
  }
});

describe('scramblings', () => {
  const product = (seed: number, scrambling: number, points: number) => {
    const sequence = new QuasiRandom(seed, scrambling);
    let sum = 0;
    for (let n = 0; n < points; n++) {
      sum += [0, 1, 2, 3].reduce((f, axis) => f * 2 * sequence.at(n, axis), 1);
    }
    return sum / points;
  };
  const values = (points: number) => Array.from({ length: 24 }, (_, r) => product(7, r, points));
  const spread = (list: readonly number[]) => {
    const mean = list.reduce((a, b) => a + b, 0) / list.length;
    return Math.sqrt(list.reduce((s, x) => s + (x - mean) ** 2, 0) / (list.length - 1));
  };

  test('are independent estimates without bias, far closer than random points', () => {
    const found = values(1024);
    expect(new Set(found).size).toBe(found.length);
    const error = spread(found) / Math.sqrt(found.length);
    const mean = found.reduce((a, b) => a + b, 0) / found.length;
    expect(Math.abs(mean - 1)).toBeLessThan(4 * error);
    // The deviation of one such product is sqrt((4/3)^4 - 1) = 1.47; random points would give 0.046.
    expect(spread(found)).toBeLessThan(0.01);
  });

  test('differ by seed and repeat with it', () => {
    expect(product(7, 0, 64)).toBe(product(7, 0, 64));
    expect(product(8, 0, 64)).not.toBe(product(7, 0, 64));
  });
});
