import { describe, expect, test } from 'vitest';
import { betaQuantile } from '../../../src/trainer/flow/beta-quantile.ts';
import { studentGrid } from '../../../src/trainer/flow/grid.ts';
import { SCHEDULERS, sigmaSchedule } from '../../../src/trainer/flow/sd3-schedule.ts';

describe('sigmaSchedule', () => {
  test.each(SCHEDULERS)('%s falls from the noise to 0, at any number of steps', (scheduler) => {
    for (const steps of [1, 3, 28, 100]) {
      const sigmas = sigmaSchedule(scheduler, steps);
      expect(sigmas.at(-1)).toBe(0);
      expect(sigmas[0]).toBeLessThanOrEqual(1);
      expect(sigmas.every((sigma, i) => i === 0 || sigma < sigmas[i - 1]!)).toBe(true);
    }
  });

  test('simple is the grid of students', () => {
    for (const steps of [1, 2, 3, 4]) {
      const grid = sigmaSchedule('simple', steps, { shift: 2.5 }).slice(0, -1);
      for (const [i, t] of studentGrid(1, steps, 2.5).entries()) expect(grid[i]).toBeCloseTo(t, 12);
    }
  });

  /** Values of ComfyUI's `simple_scheduler` in PyTorch 2.15.0 with shift 3. */
  test.each([
    [12, 7, 0.6821155548095703],
    [38, 19, 0.7507492899894714],
    [38, 20, 0.7299795150756836],
    [76, 38, 0.7507492899894714],
    [152, 19, 0.9549419283866882],
  ])('simple of %i steps picks entry %i as floats have it', (steps, i, sigma) => {
    expect(sigmaSchedule('simple', steps)[i]).toBeCloseTo(sigma, 6);
  });

  test('a part of the way is the end of a longer schedule', () => {
    expect(sigmaSchedule('normal', 3, { denoise: 0.4 })).toEqual(
      sigmaSchedule('normal', 7).slice(-4),
    );
  });
});

/** Values of scipy.stats.beta.ppf (scipy 1.17.1). */
test.each([
  [0.001, 0.6, 0.6, 1.855873851745199e-5],
  [0.25, 0.6, 0.6, 0.17568037865269498],
  [0.875, 0.6, 0.6, 0.942843636377586],
  [0.25, 2, 5, 0.16116291679032652],
  [0.999, 2, 5, 0.818613866919134],
  [0.5, 0.6, 3, 0.1062247264181691],
])('the %s quantile of Beta(%s, %s)', (p, a, b, expected) => {
  expect(Math.abs(betaQuantile(p, a, b) / expected - 1)).toBeLessThan(1e-11);
});

test('the median of a symmetric distribution is exactly one half, and the ends are the ends', () => {
  expect([0, 0.5, 1].map((p) => betaQuantile(p, 0.6, 0.6))).toEqual([0, 0.5, 1]);
});
