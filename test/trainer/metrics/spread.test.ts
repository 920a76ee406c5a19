import { describe, expect, test } from 'vitest';
import { spreadIndices } from '../../../src/trainer/metrics/spread.ts';

test.each([
  [0, 7],
  [1, 7],
  [7, 7],
])('of %i, at most %i are all', (count, most) => {
  expect(spreadIndices(count, most)).toEqual(Array.from({ length: count }, (_, i) => i));
});

describe.each([
  [2100, 2000],
  [60_001, 2000],
])('of %i, at most %i', (count, most) => {
  const indices = spreadIndices(count, most);

  test('are as many, each another', () => {
    expect(indices).toHaveLength(most);
    expect(indices.every((index, i) => index > (indices[i - 1] ?? -1) && index < count)).toBe(true);
  });

  test.each([
    ['that follow each other', (index: number) => Math.floor((10 * index) / count)],
    ['that take turns', (index: number) => index % 10],
  ])('are of all of ten classes %s', (_, classOf) => {
    for (let k = 0; k < 10; k++) {
      const share = indices.filter((index) => classOf(index) === k).length / most;
      expect(Math.abs(share - 0.1), `class ${k}`).toBeLessThan(0.02);
    }
  });
});
