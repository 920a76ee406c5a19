import { describe, expect, test } from 'vitest';
import type { Picture } from '../../../src/nodes/pictures/picture.ts';
import { scorePlot } from '../../../src/nodes/pictures/score-plot.ts';

/** Middles of the parts of a picture's columns that hold the colour of the first series, from left to right. */
function marksOf({ width, rgb }: Picture): { x: number; y: number }[] {
  const groups: { x: number; y: number }[][] = [];
  for (let x = 0; x < width; x++) {
    for (let i = x; i < rgb.length / 3; i += width) {
      const [r, g, b] = rgb.subarray(3 * i, 3 * i + 3);
      // The legend is below 470.
      const y = Math.floor(i / width);
      if (r !== 0 || g !== 0x72 || b !== 0xb2 || y > 470) continue;
      const last = groups.at(-1);
      if (last && x - last.at(-1)!.x <= 1) last.push({ x, y });
      else groups.push([{ x, y }]);
    }
  }
  const middle = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  return groups.map((places) => ({
    x: middle(places.map((place) => place.x)),
    y: middle(places.map((place) => place.y)),
  }));
}

/** Where each point is; each is drawn as the first and only one of its series. */
function placeOf(points: readonly { x: number; y: number }[], index: number) {
  const only = points[index]!;
  const others = points.filter((_, i) => i !== index);
  const series = [
    { name: 'a', points: [only] },
    { name: 'b', points: others },
  ];
  const marks = marksOf(scorePlot({ title: 'Scores', xLabel: 'cost', series, table: [] }));
  expect(marks).toHaveLength(1);
  return marks[0]!;
}

describe('places', () => {
  test('are logarithmic in cost and score', () => {
    const points = [
      { x: 1, y: 100 },
      { x: 4, y: 10 },
      { x: 16, y: 1 },
    ];
    const [a, b, c] = points.map((_, i) => placeOf(points, i));
    expect(b!.x - a!.x).toBeGreaterThan(200);
    expect(Math.abs(b!.x - a!.x - (c!.x - b!.x))).toBeLessThan(3);
    expect(Math.abs(b!.y - a!.y - (c!.y - b!.y))).toBeLessThan(3);
    expect(c!.y).toBeGreaterThan(b!.y + 100);
  });

  test('are linear in scores that may be below 0', () => {
    const points = [
      { x: 1, y: 3 },
      { x: 2, y: 1 },
      { x: 4, y: -1 },
    ];
    const [a, b, c] = points.map((_, i) => placeOf(points, i));
    expect(Math.abs(b!.y - a!.y - (c!.y - b!.y))).toBeLessThan(3);
    expect(c!.y).toBeGreaterThan(a!.y + 200);
  });
});

test('a single score, and none at all, give a picture', () => {
  const one = [{ name: 'a', points: [{ x: 1, y: 0.5 }] }];
  expect(marksOf(scorePlot({ title: '', xLabel: '', series: one, table: [] }))).toHaveLength(1);
  expect(marksOf(scorePlot({ title: '', xLabel: '', series: [], table: [] }))).toEqual([]);
});

test('a table stands below the plot, which stays as it is, and widens the picture as it needs', () => {
  const series = [{ name: 'a', points: [{ x: 1, y: 0.5 }] }];
  const plot = scorePlot({ title: '', xLabel: '', series, table: [] });
  const table = ['        NFE  score', 'student   1    0.5'];
  const both = scorePlot({ title: '', xLabel: '', series, table });
  expect(both.width).toBe(plot.width);
  const isInk = (i: number) => both.rgb[3 * i]! < 128;
  const top = both.rgb.slice(0, plot.rgb.length - 3 * 12 * plot.width);
  expect(top).toEqual(plot.rgb.slice(0, top.length));
  const rows = Array.from({ length: both.height - plot.height }, (_, row) =>
    Array.from({ length: both.width }, (_, x) => (plot.height + row - 12) * both.width + x).some(
      isInk,
    ),
  );
  // Two lines of letters, with nothing between them.
  const starts = rows.filter((ink, row) => ink && !rows[row - 1]);
  expect(starts.length).toBeGreaterThanOrEqual(2);
  const wide = scorePlot({ title: '', xLabel: '', series, table: ['x'.repeat(300)] });
  expect(wide.width).toBeGreaterThan(2500);
  const isInkAt = (x: number) =>
    Array.from({ length: wide.height }, (_, y) => wide.rgb[3 * (y * wide.width + x)]!).some(
      (r) => r < 128,
    );
  expect(isInkAt(wide.width - 30)).toBe(true);
  expect(isInkAt(wide.width - 12)).toBe(false);
});
