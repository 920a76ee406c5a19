import { expect, test } from 'vitest';
import { learningRate, SCHEDULES } from '../../../src/trainer/optim/schedule.ts';

test.each([
  ['constant', 0, 1],
  ['constant', 99, 1],
  ['linear', 0, 1],
  ['linear', 25, 0.7525],
  ['linear', 50, 0.505],
  ['cosine', 0, 1],
  ['cosine', 50, 0.505],
  ['cosine', 25, 0.01 + (0.99 * (1 + Math.SQRT1_2)) / 2],
] as const)('%s at step %i of 100 is %d of the peak', (schedule, step, share) => {
  expect(learningRate(3, schedule, 0, step, 100)).toBeCloseTo(3 * share, 12);
});

test.each(SCHEDULES)('%s falls, but never below its floor', (schedule) => {
  const rates = Array.from({ length: 40 }, (_, i) => learningRate(1, schedule, 0, i, 40, 0.2));
  expect(rates).toEqual(rates.toSorted((a, b) => b - a));
  expect(Math.min(...rates)).toBeGreaterThanOrEqual(0.2);
});

test('a warm-up rises in equal steps to the schedule, whose first step is not 0', () => {
  const rates = [0, 1, 2, 3, 4, 5].map((step) => learningRate(1, 'constant', 4, step, 100));
  expect(rates).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
});

test('a run of no steps has a rate', () => {
  expect(learningRate(1, 'cosine', 0, 0, 0)).toBe(1);
});
