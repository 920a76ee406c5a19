import { describe, expect, test } from 'vitest';
import { studentGrid } from '../../../src/trainer/flow/grid.ts';

describe('the grid of a student', () => {
  // Printed by ComfyUI's simple_scheduler with ModelSamplingDiscreteFlow (0.33), without its last 0.
  test.each([
    [1, 3, [1]],
    [4, 3, [1, 0.9, 0.75, 0.5]],
    [2, 1, [1, 0.5]],
    [3, 1, [1, 0.667, 0.334]],
  ])("%i steps at shift %d are those of ComfyUI's simple scheduler", (steps, shift, expected) => {
    const grid = studentGrid(1, steps, shift);
    expect(grid).toHaveLength(expected.length);
    for (const [k, t] of expected.entries()) expect(grid[k]).toBeCloseTo(t, 12);
  });

  test('begins at t* and falls', () => {
    const grid = studentGrid(0.97, 4, 3);
    expect(grid[0]).toBe(0.97);
    for (let k = 1; k < grid.length; k++) expect(grid[k]!).toBeLessThan(grid[k - 1]!);
  });
});
