/** The Inception score where it is known; golden-metrics.test.ts has the packages' numbers. */
import { expect, test } from 'vitest';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import { inceptionScore } from '../../../src/trainer/metrics/inception-score.ts';

const CLASSES = 4;

const logits = (count: number, of: (sample: number, label: number) => number) =>
  featuresOfArray(
    'logits',
    Float64Array.from({ length: count * CLASSES }, (_, at) =>
      of(Math.floor(at / CLASSES), at % CLASSES),
    ),
    CLASSES,
  );

test('a classifier that never knows gives 1', async () => {
  expect(
    await inceptionScore(
      logits(20, () => 3.5),
      2,
    ),
  ).toEqual({
    mean: expect.closeTo(1, 12),
    std: expect.closeTo(0, 12),
  });
});

test('one that is sure of classes that are equally many gives their number', async () => {
  const sure = logits(1600, (i, label) => (i % CLASSES === label ? 2000 : -2000));
  expect(await inceptionScore(sure, 10)).toEqual({ mean: CLASSES, std: 0 });
});

test('splits are consecutive: each half has classes of its own', async () => {
  const halves = logits(8, (i, label) => {
    const kind = i < 4 ? 0 : 1 + (i % 2);
    return label === kind ? 500 : 0;
  });
  const { mean, std } = await inceptionScore(halves, 2);
  expect(mean).toBeCloseTo((1 + 2) / 2, 12);
  expect(std).toBeCloseTo(0.5, 12);
});

test('fewer samples than splits are refused', async () => {
  await expect(
    inceptionScore(
      logits(9, () => 0),
      10,
    ),
  ).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
  });
});
