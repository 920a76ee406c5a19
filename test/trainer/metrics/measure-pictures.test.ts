/** Measures of models of pictures: samples and data as an extractor sees them. */
import { describe, expect, test } from 'vitest';
import { heldDataset } from '../../../src/trainer/data/held-dataset.ts';
import { FeatureExtractor } from '../../../src/trainer/metrics/extractor.ts';
import { featuresOfArray } from '../../../src/trainer/metrics/feature-source.ts';
import { decidingScore, measureModel } from '../../../src/trainer/metrics/measure-model.ts';
import { fineDetailGap, powerSpectrum } from '../../../src/trainer/metrics/power-spectrum.ts';
import { toPictures } from '../../../src/trainer/metrics/preprocessing.ts';
import { dataSpectrum } from '../../../src/trainer/metrics/reference-pictures.ts';
import { scoreFeatures } from '../../../src/trainer/metrics/score-features.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';
import { STREAMS } from '../../../src/trainer/random/streams.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { PIXELS, pixelExtractor, PIXEL_SHAPE as SHAPE } from '../../support/pixel-extractor.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const { signal } = new AbortController();

const bytes = Uint8Array.from({ length: 40 * PIXELS }, (_, i) => (i * 7919) % 251);

function pictures(flip = false) {
  const held = {
    name: 'pictures',
    shape: SHAPE,
    samples: bytes,
    classes: 3,
    hash: `h${flip}`,
    flip,
  };
  return heldDataset({ ...held, labels: Uint8Array.from({ length: 40 }, (_, i) => i % 3) });
}

interface Changes {
  readonly metrics?: readonly string[];
  readonly count?: number;
  readonly steps?: number;
}

/** Thirty samples against forty pictures, in the space of their pixels. */
async function measurePictures(
  model: FlowModel,
  changes: Changes = {},
  data = pictures(),
  features = {},
) {
  using extractor = await FeatureExtractor.open(await pixelExtractor(await tempFolder(), features));
  const options = { count: 30, draws: 1, seed: 1, metrics: ['fid', 'recall'], ...changes };
  return await measureModel(model, data, extractor, options, signal);
}

/** Thirty samples from the noise that measures take. */
function samplesOf(student: FlowModel) {
  const noise = new Float32Array(30 * PIXELS);
  fillNormal(noise, 1, STREAMS.evaluation, 0);
  return sample(student, {
    solver: 'one-step',
    noise: float32(noise, [30, ...SHAPE]),
    labels: Int32Array.from({ length: 30 }, (_, i) => i % 3),
  });
}

test('samples of each class in turn are compared with the whole set', async () => {
  const student = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });
  const { figures: found, secondsPerSample } = await measurePictures(student);

  const { data } = await samplesOf(student);
  const fake = toPictures(data, [30, ...SHAPE]).data;
  // Held bytes become samples in [-1, 1] and bytes again.
  const { scores } = await scoreFeatures({
    real: featuresOfArray('real', Float32Array.from(bytes), PIXELS),
    fake: featuresOfArray('fake', Float32Array.from(fake), PIXELS),
    ...{ extractor: 'pixels', metrics: ['fid', 'recall'], neighbours: 3, seed: 0 },
  });
  expect(Object.keys(found)).toEqual(['FID (pixels)', 'recall (pixels)']);
  expect(secondsPerSample).toBeGreaterThan(0);
  for (const { name, value } of scores) expect(found[name]!.value).toBeCloseTo(value, 6);
});

test('a teacher takes the steps of the solver', async () => {
  const teacher = tinyModel(TINY_DIT);
  const few = await measurePictures(teacher, { steps: 1 });
  const more = await measurePictures(teacher, { steps: 5 });
  expect(few.figures['FID (pixels)']).not.toEqual(more.figures['FID (pixels)']);
});

test('without a choice, all is measured that the extractor allows; detail has no extractor', async () => {
  const found = await measurePictures(tinyModel(TINY_DIT), { metrics: [], steps: 1 });
  expect(Object.keys(found.figures)).toEqual([
    ...['FID', 'KID', 'precision', 'recall', 'density', 'coverage'].map((n) => `${n} (pixels)`),
    'fine-detail gap',
  ]);
});

test('the gap of detail compares the spectra of samples and data', async () => {
  const student = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });
  const { figures } = await measurePictures(student, { metrics: ['fine-detail-gap'] });
  const { data } = await samplesOf(student);
  const real = pictures().whole!.range(0, 40).x;
  const gap = fineDetailGap(
    powerSpectrum(data, [30, ...SHAPE]),
    powerSpectrum(real, [40, ...SHAPE]),
  );
  expect(figures).toEqual({ 'fine-detail gap': { value: expect.closeTo(gap, 9) } });
});

describe('the detail of a large set is that of all its classes, where they', () => {
  const EACH = 2100;
  /** A class of flat pictures and one of noise. */
  const byteOf = (kind: number, i: number) => (kind === 0 ? 128 + (i % 5) : (i * 7919) % 251);
  const setOf = (order: string, kindOf: (picture: number) => number) =>
    heldDataset({
      ...{ name: order, hash: order, shape: SHAPE, classes: 2, flip: false },
      labels: Uint8Array.from({ length: 2 * EACH }, (_, i) => kindOf(i)),
      samples: Uint8Array.from({ length: 2 * EACH * PIXELS }, (_, i) =>
        byteOf(kindOf(Math.floor(i / PIXELS)), i),
      ),
    });

  test.each([
    ['follow each other', (i: number) => Math.floor(i / EACH)],
    ['take turns', (i: number) => i % 2],
  ])('%s', async (order, kindOf) => {
    const data = setOf(order, kindOf);
    const all = powerSpectrum(data.whole!.range(0, 2 * EACH).x, [2 * EACH, ...SHAPE]);
    expect(fineDetailGap(all, await dataSpectrum(data))).toBeLessThan(0.05);
  });
});

const ALONE = { count: 30, draws: 1, seed: 1 };

describe('without an extractor', () => {
  const student = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });

  test('the gap of detail is what it is with one', async () => {
    const metrics = ['fine-detail-gap'];
    const { figures, secondsPerSample, notices } = await measureModel(
      student,
      pictures(),
      undefined,
      { ...ALONE, metrics },
    );
    expect(figures).toEqual((await measurePictures(student, { metrics })).figures);
    const both = await measurePictures(student, { metrics: ['recall', 'fine-detail-gap'] });
    expect(figures).toMatchObject({ 'fine-detail gap': both.figures['fine-detail gap'] });
    expect(secondsPerSample).toBeGreaterThan(0);
    expect(notices).toEqual([]);
  });

  test('it is all that is measured, which is told', async () => {
    const { figures, notices } = await measureModel(student, pictures(), undefined, ALONE);
    expect(Object.keys(figures)).toEqual(['fine-detail gap']);
    expect(notices).toEqual([expect.stringContaining('by fine detail alone')]);
  });

  test('each set has a spectrum of its own', async () => {
    const first = await measureModel(student, pictures(), undefined, ALONE);
    const grey = heldDataset({
      ...{ name: 'other', shape: SHAPE, samples: bytes.map((b) => b >> 1) },
      ...{ classes: 0, hash: 'other', flip: false },
    });
    const second = await measureModel(student, grey, undefined, ALONE);
    expect(second.figures).not.toEqual(first.figures);
  });

  test('it chooses the best model', () => {
    expect(decidingScore(pictures(), undefined)).toMatchObject({
      metric: 'fine-detail-gap',
      name: 'fine-detail gap',
    });
  });
});

describe('refused:', () => {
  const dit = tinyModel(TINY_DIT);
  const { whole: _, ...endless } = pictures();

  test.each([
    ['a model of points', () => measurePictures(tinyModel(TINY_MLP)), 'SHAPE_MISMATCH', 'as pic'],
    ['data without an end', () => measurePictures(dit, {}, endless), 'DATASET_INVALID', 'no set'],
    [
      'no more samples than dimensions',
      () => measurePictures(dit, { count: 16 }),
      'VALUE_OUT_OF_RANGE',
      'the samples: 16 pictures are too few for FID in the space of pixels, which has 16 dimensions',
    ],
    [
      'an extractor of other pictures',
      () => measurePictures(dit, {}, pictures(), { preprocessing: { size: 5 } }),
      'SHAPE_MISMATCH',
      'it takes pictures of [1, 4, 4], and these are [1, 5, 5] after preprocessing',
    ],
    [
      'an unknown metric',
      () => measurePictures(dit, { metrics: ['fid', 'energy-distance'] }),
      'VALUE_OUT_OF_RANGE',
      '"energy-distance" is no metric of pictures',
    ],
    [
      "a classifier's score without one",
      () => measurePictures(dit, { metrics: ['inception-score'] }),
      'VALUE_OUT_OF_RANGE',
      'pixels is no classifier',
    ],
    [
      'detail of what is no square',
      () =>
        measurePictures(dit, { metrics: ['fine-detail-gap'] }, { ...pictures(), shape: [1, 4, 6] }),
      'VALUE_OUT_OF_RANGE',
      'fine-detail-gap is for squares',
    ],
    [
      'no extractor',
      () => measureModel(dit, pictures(), undefined, { ...ALONE, metrics: ['recall'] }),
      'WORKFLOW_INVALID',
      'none is named',
    ],
  ])('%s', async (_, run, code, message) => {
    await expect(run()).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test('samples that are not finite', async () => {
    const { info, parameters } = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });
    const broken = { info, parameters: parameters.map(() => Number.NaN) };
    await expect(measurePictures(broken)).rejects.toMatchObject({ code: 'DIVERGED' });
  });
});

test('a whole set is in order, ends at its end, and is never mirrored', () => {
  const { whole } = pictures(true);
  expect(whole!.count).toBe(40);
  const { x, labels } = whole!.range(38, 5);
  expect([...labels!]).toEqual([2, 0]);
  expect(Array.from(x, (value) => Math.round((value + 1) * 127.5))).toEqual([
    ...bytes.subarray(38 * PIXELS),
  ]);
});
