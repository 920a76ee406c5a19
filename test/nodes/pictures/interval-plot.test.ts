import { describe, expect, test } from 'vitest';
import { type IntervalRow, intervalPlot } from '../../../src/nodes/pictures/interval-plot.ts';
import type { Picture } from '../../../src/nodes/pictures/picture.ts';

interface Place {
  readonly x: number;
  readonly y: number;
}

/** Marks of means and bars of intervals are blue; values, text and grid are grey. */
function bluePixels({ width, rgb }: Picture): Place[] {
  const places: Place[] = [];
  for (let i = 0; i < rgb.length; i += 3) {
    const [r = 0, , b = 0] = [rgb[i], rgb[i + 1], rgb[i + 2]];
    if (b - r > 80) places.push({ x: (i / 3) % width, y: Math.floor(i / 3 / width) });
  }
  return places;
}

/** Least and greatest x of what is drawn on the line of row `index` of `count`. */
function spanOf(rows: readonly IntervalRow[], index: number): readonly [number, number] {
  const pixels = bluePixels(intervalPlot({ title: 'Plot', rows }));
  const ys = [...new Set(pixels.map(({ y }) => y))].sort((a, b) => a - b);
  // Lines of the picture that belong together.
  const groups = ys.reduce<number[][]>((all, y) => {
    const last = all.at(-1);
    if (last && y - last.at(-1)! <= 2) last.push(y);
    else all.push([y]);
    return all;
  }, []);
  const group = groups[index]!;
  const xs = pixels.filter(({ y }) => group.includes(y)).map(({ x }) => x);
  return [Math.min(...xs), Math.max(...xs)];
}

const row = (mean: number, half: number): IntervalRow => ({
  label: `mean ${mean}`,
  mean,
  interval: [mean - half, mean + half],
  values: [mean - half / 2, mean + half / 2],
});

describe('interval plot', () => {
  test('bars are as long as their intervals, around their means', () => {
    const rows = [row(2, 1), row(4, 0.5), row(3, 0)];
    const [wide, narrow, point] = rows.map((_, i) => spanOf(rows, i));
    expect(wide![1] - wide![0]).toBeGreaterThan(1.7 * (narrow![1] - narrow![0]));
    expect((narrow![0] + narrow![1]) / 2).toBeGreaterThan((wide![0] + wide![1]) / 2 + 200);
    expect(point![1] - point![0]).toBeLessThan(15);
  });

  test('values that differ much are on a logarithmic axis', () => {
    const at = (values: readonly number[], i: number) => {
      const rows = values.map((mean) => ({ label: 'a', mean, values: [mean] }));
      const [from, to] = spanOf(rows, i);
      return (from + to) / 2;
    };
    const [least, middle, greatest] = [0, 1, 2].map((i) => at([0.001, 0.03, 0.9], i));
    expect(middle).toBeGreaterThan((least! + greatest!) / 2 - 10);
    expect(middle).toBeLessThan((least! + greatest!) / 2 + 10);
    const linear = [0, 1, 2].map((i) => at([1, 2, 9], i));
    expect(linear[1]!).toBeLessThan((linear[0]! + linear[2]!) / 2 - 100);
  });

  test('an interval that reaches below 0 stays in a logarithmic picture', () => {
    const rows = [row(0.01, 0.02), row(5, 0.1)];
    const [from, to] = spanOf(rows, 0);
    expect(from).toBeGreaterThan(50);
    expect(to).toBeGreaterThan(from);
  });

  test('grows with its rows, and has room for those without a mean', () => {
    const few = intervalPlot({ title: 'Plot', rows: [row(1, 0.1)] });
    const more = intervalPlot({
      title: 'Plot',
      subtitle: 'of what',
      rows: [row(1, 0.1), { label: 'diverged' }, row(2, 0.1)],
    });
    expect(more.height).toBeGreaterThan(few.height + 40);
    expect(bluePixels(intervalPlot({ title: 'Plot', rows: [{ label: 'none' }] }))).toEqual([]);
    expect(() => intervalPlot({ title: 'Plot', rows: [] })).not.toThrow();
  });
});
