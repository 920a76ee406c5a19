import { describe, expect, test } from 'vitest';
import { pictureGrid } from '../../../src/nodes/pictures/grid.ts';
import type { Picture } from '../../../src/nodes/pictures/picture.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

/** The red channel, row by row; the grids of these tests are grey. */
function rows(picture: Picture): number[][] {
  return Array.from({ length: picture.height }, (_, y) =>
    Array.from({ length: picture.width }, (_, x) => picture.rgb[(y * picture.width + x) * 3]!),
  );
}

function greySamples(count: number, height: number, width: number) {
  return float32(new Float32Array(count * height * width), [count, 1, height, width]);
}

describe('picture grid', () => {
  test('three samples of 1 x 2 pixels in two columns, enlarged twice', () => {
    const samples = float32(Float32Array.of(-1, 1, 0, -0.5, 0.5, 2), [3, 1, 1, 2]);
    const g = 200; // the gap, and the cell that stays empty
    expect(rows(pictureGrid(samples, { columns: 2, scale: 2 }))).toEqual([
      [0, 0, 255, 255, g, g, 128, 128, 64, 64],
      [0, 0, 255, 255, g, g, 128, 128, 64, 64],
      [g, g, g, g, g, g, g, g, g, g],
      [g, g, g, g, g, g, g, g, g, g],
      [191, 191, 255, 255, g, g, g, g, g, g],
      [191, 191, 255, 255, g, g, g, g, g, g],
    ]);
  });

  test('colours stay with their pixel', () => {
    const samples = float32(Float32Array.of(-1, 1, 1, -1, 0, 1), [1, 3, 1, 2]);
    expect([...pictureGrid(samples, { scale: 1 }).rgb]).toEqual([0, 255, 128, 255, 0, 255]);
  });

  test.each([
    { count: 1, columns: 1, filledRows: 1 },
    { count: 5, columns: 3, filledRows: 2 },
    { count: 7, columns: 4, filledRows: 2 },
    { count: 8, columns: 4, filledRows: 2 },
    { count: 9, columns: 3, filledRows: 3 },
    { count: 64, columns: 8, filledRows: 8 },
  ])('$count samples lie in $columns columns', ({ count, columns, filledRows }) => {
    const grid = pictureGrid(greySamples(count, 4, 4), { scale: 1 });
    expect([grid.width, grid.height]).toEqual([columns * 6 - 2, filledRows * 6 - 2]);
  });

  test('small samples are enlarged, large ones left as they are', () => {
    expect(pictureGrid(greySamples(64, 28, 28)).width).toBe(8 * (28 * 3 + 2) - 2);
    expect(pictureGrid(greySamples(1, 28, 28)).width).toBe(28 * 8);
    expect(pictureGrid(greySamples(4, 512, 512)).width).toBe(2 * (512 + 2) - 2);
  });

  test('more columns than samples leave no empty cell', () => {
    expect(pictureGrid(greySamples(2, 3, 3), { columns: 10, scale: 1 }).width).toBe(8);
  });

  test.each([
    { name: 'no sample', count: 0, options: {} },
    { name: 'zero columns', count: 4, options: { columns: 0 } },
    { name: 'half a column', count: 4, options: { columns: 1.5 } },
    { name: 'a broken scale', count: 4, options: { scale: 0.5 } },
  ])('$name is refused', ({ count, options }) => {
    expect(() => pictureGrid(greySamples(count, 2, 2), options)).toThrow(
      expect.objectContaining({ code: 'VALUE_OUT_OF_RANGE' }),
    );
  });
});
