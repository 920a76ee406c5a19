import { describe, expect, test } from 'vitest';
import type { Picture } from '../../../src/nodes/pictures/picture.ts';
import { linePlot, scatterPlot } from '../../../src/nodes/pictures/plots.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

interface Place {
  readonly x: number;
  readonly y: number;
}

function points(...coordinates: number[]) {
  return float32(Float32Array.from(coordinates), [coordinates.length / 2, 2]);
}

/** Coloured pixels: text, grid and reference are grey, samples and lines are not. */
function colouredPixels({ width, rgb }: Picture): Place[] {
  const places: Place[] = [];
  for (let i = 0; i < rgb.length; i += 3) {
    const [r = 0, g = 0, b = 0] = [rgb[i], rgb[i + 1], rgb[i + 2]];
    if (Math.max(r, g, b) - Math.min(r, g, b) > 24) {
      places.push({ x: (i / 3) % width, y: Math.floor(i / 3 / width) });
    }
  }
  return places;
}

/** Much faster than an equality matcher on a million bytes. */
function isSamePicture(a: Picture, b: Picture): boolean {
  return Buffer.compare(a.rgb, b.rgb) === 0;
}

function centre(places: readonly Place[]): Place {
  const mean = (pick: (place: Place) => number) =>
    places.reduce((sum, place) => sum + pick(place), 0) / places.length;
  return { x: mean((place) => place.x), y: mean((place) => place.y) };
}

describe('scatter plot', () => {
  const limits = { x: [-1, 1], y: [-1, 1] } as const;
  const dotAt = (x: number, y: number) => {
    const pixels = colouredPixels(scatterPlot(points(x, y), { limits }));
    expect(pixels.length).toBeGreaterThan(10);
    return centre(pixels);
  };

  test('a dot is where its point is, right and up being positive', () => {
    const middle = dotAt(0, 0);
    const right = dotAt(0.5, 0);
    const up = dotAt(0, 0.5);
    expect(right.x).toBeGreaterThan(middle.x + 100);
    expect(right.y).toBeCloseTo(middle.y, 0);
    expect(up.y).toBeLessThan(middle.y - 100);
    expect(up.x).toBeCloseTo(middle.x, 0);
  });

  test('a unit is as long upwards as to the right', () => {
    const wide = { x: [-3, 3], y: [-1, 1] } as const;
    const at = (x: number, y: number) =>
      centre(colouredPixels(scatterPlot(points(x, y), { limits: wide })));
    const middle = at(0, 0);
    const toTheRight = at(1, 0).x - middle.x;
    const upwards = middle.y - at(0, 1).y;
    expect(Math.abs(toTheRight - upwards)).toBeLessThan(2);
  });

  test('the reference lies below the points and is grey', () => {
    const same = points(0.25, -0.5);
    const alone = colouredPixels(scatterPlot(points(0.9, 0.9), { limits, reference: same }));
    const covered = colouredPixels(scatterPlot(same, { limits, reference: same }));
    const inLegend = alone.filter((place) => place.y > 680);
    expect(inLegend.length).toBeGreaterThan(10);
    expect(alone.filter((place) => place.y > 300 && place.y <= 680)).toEqual([]);
    expect(covered.filter((place) => place.y > 300 && place.y <= 680).length).toBeGreaterThan(10);
  });

  test('what cannot be seen is noted: the same picture otherwise has the same dots', () => {
    const clean = scatterPlot(points(0, 0), { limits });
    const noted = scatterPlot(points(0, 0, Number.NaN, 1, 1e30, 0), { limits });
    expect(colouredPixels(noted)).toEqual(colouredPixels(clean));
    expect(isSamePicture(noted, clean)).toBe(false);
  });

  test.each([
    { name: 'no point', given: [] },
    { name: 'one point', given: [3, 4] },
    { name: 'equal points', given: [3, 4, 3, 4, 3, 4] },
    { name: 'points on a line', given: [3, 4, 3, 5, 3, 6] },
    { name: 'nothing finite', given: [Number.NaN, Number.POSITIVE_INFINITY] },
    { name: 'float32 extremes', given: [-3e38, 3e38, 3e38, -3e38] },
  ])('$name is drawn without complaint', ({ given }) => {
    const finite = given.filter(Number.isFinite).length;
    expect(colouredPixels(scatterPlot(points(...given))).length > 0).toBe(finite > 0);
  });

  test('points that are not in the plane are refused', () => {
    expect(() => scatterPlot(float32(new Float32Array(6), [2, 3]))).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: expect.stringContaining('[2, 3]'),
      }),
    );
  });
});

describe('line plot', () => {
  const steps = Array.from({ length: 5000 }, (_, i) => i);

  test('a falling line starts high on the left and ends low on the right', () => {
    const pixels = colouredPixels(
      linePlot({ x: steps, series: [{ name: 'loss', values: steps.map((s) => -s) }] }),
    ).filter((place) => place.y < 460);
    const left = centre(pixels.filter((place) => place.x < 200));
    const right = centre(pixels.filter((place) => place.x > 800));
    expect(left.y).toBeLessThan(100);
    expect(right.y).toBeGreaterThan(380);
  });

  test('an exponential is straight on a logarithmic axis', () => {
    const values = steps.map((s) => Math.exp(-s / 500));
    const pixels = colouredPixels(
      linePlot({ x: steps, series: [{ name: 'gap', values }], logY: true }),
    ).filter((place) => place.y < 460);
    const height = (from: number) =>
      centre(pixels.filter((place) => place.x >= from && place.x < from + 40)).y;
    expect(Math.abs(height(450) - (height(150) + height(750)) / 2)).toBeLessThan(3);
  });

  test('one spike does not flatten the rest', () => {
    const values = steps.map((s) => (s === 2500 ? 1e9 : Math.sin(s / 300)));
    const pixels = colouredPixels(
      linePlot({ x: steps, series: [{ name: 'loss', values }] }),
    ).filter((place) => place.y < 460);
    const ys = pixels.map((place) => place.y);
    expect(Math.max(...ys) - Math.min(...ys)).toBeGreaterThan(300);
  });

  test.each([
    { name: 'no series', x: [1, 2], series: [] },
    { name: 'no step', x: [], series: [[]] },
    { name: 'one value', x: [7], series: [[2]] },
    { name: 'a constant', x: [1, 2, 3], series: [[0.5, 0.5, 0.5]] },
    { name: 'a constant zero', x: [1, 2, 3], series: [[0, 0, 0]] },
    { name: 'nothing finite', x: [1, 2], series: [[Number.NaN, Number.NEGATIVE_INFINITY]] },
    { name: 'gaps', x: [1, 2, 3], series: [[1, null, 3]] },
    { name: 'float32 extremes', x: [1, 2, 3], series: [[-3e38, 3e38, 1e308]] },
    { name: 'nothing above zero', x: [1, 2], series: [[-1, 0]] },
  ])('$name is drawn without complaint on both axes', ({ x, series }) => {
    for (const logY of [false, true]) {
      const named = series.map((values, i) => ({ name: `series ${i}`, values }));
      const plot = linePlot({
        x,
        series: named,
        logY,
        title: 'Loss',
        xLabel: 'step',
        yLabel: 'loss',
      });
      expect(plot.rgb.length).toBe(plot.width * plot.height * 3);
    }
  });

  test('a series of another length than the axis is refused by name', () => {
    const series = [{ name: 'loss/online', values: [1, 2, 3] }];
    expect(() => linePlot({ x: [1, 2], series })).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: expect.stringContaining('loss/online'),
      }),
    );
  });
});

test('the same plot twice is the same picture', () => {
  const draw = () => scatterPlot(points(0.1, 0.2, -0.3, 0.4), { title: 'Twice' });
  expect(isSamePicture(draw(), draw())).toBe(true);
});
