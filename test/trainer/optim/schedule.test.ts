import { expect, test } from 'vitest';
import { learningRate, runRate, SCHEDULES } from '../../../src/trainer/optim/schedule.ts';

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

test('beyond its steps a schedule stays at its end', () => {
  expect(learningRate(1, 'linear', 0, 150, 100)).toBeCloseTo(0.01, 12);
});

test('a run that goes on with more steps goes over to its new rate within a warm-up', () => {
  const plan = { schedule: 'linear', warmup: 4, steps: 200 } as const;
  const rates = [100, 101, 102, 103, 104].map((step) =>
    runRate(1, plan, step, { at: 100, from: 100 }),
  );
  const end = 0.01;
  const goal = (step: number) => learningRate(1, 'linear', 0, step, 200);
  const share = (part: number, step: number) => end + part * (goal(step) - end);
  expect(rates).toEqual(
    [share(0.25, 100), share(0.5, 101), share(0.75, 102), goal(103), goal(104)].map((rate) =>
      expect.closeTo(rate, 12),
    ),
  );
});

test.each([
  ['whose rate is constant', { schedule: 'constant', warmup: 10, steps: 200 }],
  ['that has no warm-up', { schedule: 'cosine', warmup: 0, steps: 200 }],
] as const)('a stretch changes nothing in a run %s', (_, plan) => {
  for (const step of [100, 101, 150]) {
    expect(runRate(2, plan, step, { at: 100, from: 100 })).toBe(runRate(2, plan, step));
  }
});
