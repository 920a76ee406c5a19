import fc from 'fast-check';
import { expect, test } from 'vitest';
import { logRange } from '../../src-web/log-range.ts';

test.each([
  { values: [0.0123, 0.2, 0.31], expected: [0.01, 0.403] },
  { values: [0.0095, 0.031], expected: [0.009, 0.0403] },
  { values: [0.01, 0.01], expected: [0.009, 0.013] },
  { values: [45, 700], expected: [40, 910] },
  { values: [1e-20, 50], expected: [0.00004, 65] },
  { values: [], expected: [0.09, 1.3] },
])('of $values', ({ values, expected: [low, high] }) => {
  const range = logRange(values);
  expect(range[0]).toBe(low);
  expect(range[1]).toBeCloseTo(high!, 12);
});

test('the first value does not decide when there are many', () => {
  const values = [1e-9, ...Array.from({ length: 99 }, (_, i) => 0.5 + i / 100)];
  expect(logRange(values)[0]).toBe(0.5);
});

test('the lower end is a number of one digit, not above what counts', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-12, max: 1e12, noNaN: true }), (value) => {
      const [low, high] = logRange([value]);
      expect(low.toExponential()).toMatch(/^\de[+-]\d+$/);
      expect(low).toBeLessThan(value);
      expect(low).toBeGreaterThan(value / 2.5);
      expect(high).toBeGreaterThan(value);
    }),
    { seed: 3 },
  );
});
