import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Run } from '../../src-web/runs.ts';
import {
  clock,
  evaluationText,
  MAX_DIGITS,
  MAX_LENGTH,
  numberText,
  shortText,
  stateText,
  stepText,
} from '../../src-web/text.ts';

const run: Run = {
  node: '4',
  promptId: 'p',
  points: [{ step: 1200, metrics: {} }],
  standing: { steps: 40_000, stepsPerSecond: 83.123, etaSeconds: 466.8 },
  state: 'running',
  workflow: null,
};

test('where a run is', () => expect(stepText(run)).toBe('1,200 / 40,000'));

describe('how a run goes', () => {
  test.each([
    { standing: run.standing, state: 'running' as const, expected: '83.1 steps/s, 7:47 left' },
    {
      standing: { ...run.standing, etaSeconds: undefined },
      state: 'running' as const,
      expected: '83.1 steps/s',
    },
    {
      standing: { steps: 5, stepsPerSecond: undefined, etaSeconds: undefined },
      state: 'running' as const,
      expected: '',
    },
    { standing: run.standing, state: 'stopped' as const, expected: 'stopped' },
  ])('$expected', ({ standing, state, expected }) => {
    expect(stateText({ ...run, standing, state })).toBe(expected);
  });
});

describe('what evaluations have told', () => {
  const score = (step: number, value: number | null) => ({
    step,
    metrics: { 'loss/student': 5, 'eval/energy distance': value, 'eval/modes': 8 },
  });
  test.each([
    { points: [], expected: '' },
    { points: [{ step: 1, metrics: { 'loss/student': 1 } }], expected: '' },
    { points: [score(500, 0.01234)], expected: 'energy distance 0.0123 at step 500' },
    {
      points: [score(500, 2), { step: 600, metrics: {} }, score(1000, 1)],
      expected: 'energy distance 1 at step 1,000',
    },
    {
      points: [score(500, 3), score(1000, 2), score(1500, 4), score(2000, null)],
      expected: 'energy distance 4 at step 1,500, best 2 at step 1,000',
    },
  ])('$expected', ({ points, expected }) => {
    expect(evaluationText(points)).toBe(expected);
  });
});

test.each([
  [0.0123456, '0.0123'],
  [-12.345, '-12.3'],
  [1.5, '1.5'],
  [0, '0'],
  [3.21e-7, '3.21e-7'],
  [null, '-'],
  [undefined, '-'],
])('%j is shown as %j', (value, expected) => expect(numberText(value)).toBe(expected));

test.each([
  [0.0123456, '0.0123'],
  [-12.345, '-12.3'],
  [-0.00609, '-0.0061'],
  [-0.0006094, '-6.1e-4'],
  [0.0006094, '6.09e-4'],
  [-12_345, '-12300'],
  [-123_456, '-1.23e5'],
  [-1_234_567, '-1.23e6'],
  [1.234e-12, '1.2e-12'],
  [-3.21e-12, '-3e-12'],
  [null, '-'],
  [undefined, '-'],
])('%j has room as %j', (value, expected) => expect(shortText(value)).toBe(expected));

test('no number is too long for its room', () => {
  const numbers = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(numbers, (value) => {
      const text = shortText(value);
      expect(text.length).toBeLessThanOrEqual(MAX_LENGTH);
      expect(text.match(/\d/g)!.length).toBeLessThanOrEqual(MAX_DIGITS);
    }),
  );
});

test.each([
  [0, '0:00'],
  [9.1, '0:10'],
  [-3, '0:00'],
  [3599, '59:59'],
  [3600, '1:00:00'],
  [7384, '2:03:04'],
])('%d s are %s', (seconds, expected) => expect(clock(seconds)).toBe(expected));
