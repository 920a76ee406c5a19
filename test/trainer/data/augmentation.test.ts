/** EDM's changes of training pictures: how often, what is told, and that the picture is changed as told. */
import { describe, expect, test } from 'vitest';
import {
  AUGMENT_LABELS,
  type Changes,
  drawChanges,
  TAPS,
} from '../../../src/trainer/data/augmentation.ts';

const SIZE = 24;
const AREA = SIZE * SIZE;
const SHARE = 0.3;

async function changes(count: number, share = SHARE, seed = 1, step = 0): Promise<Changes> {
  const out = {
    labels: new Float32Array(count * AUGMENT_LABELS),
    places: new Float32Array(count * AREA * TAPS),
    weights: new Float32Array(count * AREA * TAPS),
  };
  await drawChanges(out, SIZE, share, seed, step);
  return out;
}

const labelsOf = ({ labels }: Changes, i: number) => [
  ...labels.subarray(i * AUGMENT_LABELS, (i + 1) * AUGMENT_LABELS),
];

/** What change number `i` makes of a function of the places. */
function changed(
  { places, weights }: Changes,
  i: number,
  picture: (x: number, y: number) => number,
) {
  return Float64Array.from({ length: AREA }, (_, place) => {
    let sum = 0;
    for (let k = 0; k < TAPS; k++) {
      const at = (i * AREA + place) * TAPS + k;
      sum += weights[at]! * picture(places[at]! % SIZE, Math.floor(places[at]! / SIZE));
    }
    return sum;
  });
}

const MIDDLE = (SIZE - 1) / 2;

/** Where a light spot of a picture is: its centre of mass. */
function spotOf(picture: Float64Array): [number, number] {
  let [mass, x, y] = [0, 0, 0];
  for (const [place, light] of picture.entries()) {
    mass += light;
    x += light * (place % SIZE);
    y += light * Math.floor(place / SIZE);
  }
  return [x / mass - MIDDLE, y / mass - MIDDLE];
}

const spot = (cx: number, cy: number) => (x: number, y: number) =>
  Math.exp(-((x - MIDDLE - cx) ** 2 + (y - MIDDLE - cy) ** 2) / 4);

const COUNT = 400;
const drawn = await changes(COUNT);
const all = Array.from({ length: COUNT }, (_, i) => labelsOf(drawn, i));

/** Numbers of the changes that do nothing but what `isWanted` says. */
const only = (isWanted: (label: number) => boolean) =>
  all.flatMap((labels, i) =>
    labels.some((v, k) => v !== 0 && !isWanted(k)) || !labels.some((v, k) => v !== 0 && isWanted(k))
      ? []
      : [i],
  );

test.each([
  ['mirrored left to right, always with an even chance', 0, 0.5],
  ['mirrored upside down', 1, SHARE / 2],
  ['scaled', 2, SHARE],
  ['rotated', 4, SHARE],
  ['stretched', 5, SHARE],
  ['shifted', 7, SHARE],
])('%s', (_what, label, expected) => {
  const share = all.filter((labels) => labels[label] !== 0).length / COUNT;
  expect(Math.abs(share - expected)).toBeLessThan((4 * 0.5) / Math.sqrt(COUNT));
});

describe('a picture is changed as told', () => {
  test('weights sum to one, and places are inside', () => {
    for (let i = 0; i < 20; i++) {
      for (const v of changed(drawn, i, () => 1)) expect(v).toBeCloseTo(1, 5);
    }
    expect(
      drawn.places.every((place) => Number.isInteger(place) && place >= 0 && place < AREA),
    ).toBe(true);
  });

  test('unchanged to the bit where nothing is told', () => {
    const still = all.findIndex((labels) => labels.every((v) => v === 0));
    const number = (x: number, y: number) => y * SIZE + x;
    expect([...changed(drawn, still, number)]).toEqual(Array.from({ length: AREA }, (_, i) => i));
  });

  test.each([
    ['x', 0, -1, 1],
    ['y', 1, 1, -1],
  ])('mirrored along %s', (_axis, label, signX, signY) => {
    const [i] = only((k) => k === label);
    const [x, y] = spotOf(changed(drawn, i!, spot(5, 3)));
    expect([x, y]).toEqual([expect.closeTo(5 * signX, 3), expect.closeTo(3 * signY, 3)]);
  });

  test('scaled by 2^(0.2 w)', () => {
    const [i] = only((k) => k === 2);
    const [x, y] = spotOf(changed(drawn, i!, spot(3, -2)));
    const factor = 2 ** (0.2 * all[i!]![2]!);
    expect(factor).not.toBeCloseTo(1, 2);
    expect([x, y]).toEqual([expect.closeTo(3 * factor, 1), expect.closeTo(-2 * factor, 1)]);
  });

  test('rotated by the angle of the cosine and sine', () => {
    const [i] = only((k) => k === 3 || k === 4);
    const [cosine, sine] = [all[i!]![3]! + 1, all[i!]![4]!];
    expect(cosine ** 2 + sine ** 2).toBeCloseTo(1, 5);
    const [x, y] = spotOf(changed(drawn, i!, spot(4, 1)));
    // The table leads from new places to old ones, so the spot turns the other way.
    expect(x).toBeCloseTo(4 * cosine + sine, 1);
    expect(y).toBeCloseTo(-4 * sine + cosine, 1);
  });

  test('stretched along a side keeps the area', () => {
    // So little that no mirror image of the spot comes into sight.
    const [i] = only((k) => k === 5).filter((n) => Math.abs(all[n]![5]!) < 1);
    const factor = 2 ** (0.2 * all[i!]![5]!);
    const [x, y] = spotOf(changed(drawn, i!, spot(3, 4)));
    expect(x).toBeCloseTo(3 * factor, 1);
    expect(y).toBeCloseTo(4 / factor, 1);
  });

  test('shifted by an eighth of the side times the labels', () => {
    const near = only((k) => k >= 7).filter((i) => Math.hypot(all[i]![7]!, all[i]![8]!) < 1.2);
    const [shiftX, shiftY] = [all[near[0]!]![7]!, all[near[0]!]![8]!];
    const [x, y] = spotOf(changed(drawn, near[0]!, spot(1, -1)));
    expect(x).toBeCloseTo(1 + (shiftX * SIZE) / 8, 1);
    expect(y).toBeCloseTo(-1 + (shiftY * SIZE) / 8, 1);
  });
});

test('seed and step decide, and none is changed at probability 0 but by mirroring', async () => {
  const { labels } = await changes(8);
  expect((await changes(8)).labels).toEqual(labels);
  expect((await changes(8, SHARE, 2)).labels).not.toEqual(labels);
  expect((await changes(8, SHARE, 1, 1)).labels).not.toEqual(labels);
  const none = await changes(50, 0);
  expect(none.labels.every((v, i) => v === 0 || i % AUGMENT_LABELS === 0)).toBe(true);
});
