/** What sweeps measure of pictures: samples and data as an extractor sees them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { measurePictures } from '../../src/host/sweep/measure-pictures.ts';
import { PicturesMeasureSchema } from '../../src/host/sweep/measure-schema.ts';
import { heldDataset } from '../../src/trainer/data/held-dataset.ts';
import { pointSet } from '../../src/trainer/data/points.ts';
import { ELEMENT_TYPES } from '../../src/trainer/graph/onnx-format.ts';
import { featuresOfArray } from '../../src/trainer/metrics/feature-source.ts';
import { toPictures } from '../../src/trainer/metrics/preprocessing.ts';
import { scoreFeatures } from '../../src/trainer/metrics/score-features.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { STREAMS } from '../../src/trainer/random/streams.ts';
import { sample } from '../../src/trainer/run/sample.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { handModel } from '../support/onnx-models.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';

const { signal } = new AbortController();
const PIXELS = 16;
const SHAPE = [1, 4, 4] as const;

/** Features of a picture are its sixteen bytes. */
async function pixelExtractor(): Promise<string> {
  const port = (name: string, shape: readonly (number | undefined)[]) => {
    const dim = shape.map((size) => (size === undefined ? { dimParam: 'n' } : { dimValue: size }));
    return { name, type: { tensorType: { elemType: ELEMENT_TYPES.float32, shape: { dim } } } };
  };
  const model = handModel({
    inputs: { x: port('x', [undefined, ...SHAPE]) },
    initializers: {},
    nodes: [{ opType: 'Flatten', input: ['x'], output: ['f'] }],
    graph: { output: [port('f', [undefined, PIXELS])] },
  });
  const file = join(await tempFolder(), 'pixels.onnx');
  await writeFile(file, model);
  const preprocessing = {
    ...{ size: null, filter: 'bilinear-tf1', channels: 'grey', layout: 'nchw' },
    ...{ subtract: 0, divide: 1 },
  };
  await writeFile(
    file.replace('.onnx', '.json'),
    JSON.stringify({ name: 'pixels', preprocessing }),
  );
  return file;
}

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

function measure(fields: object = {}) {
  return PicturesMeasureSchema.parse({
    ...{ model: 'm', extractor: 'e', samples: 30, metrics: ['fid', 'recall'] },
    ...fields,
  });
}

test('samples of each class in turn are compared with the whole set', async () => {
  const student = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });
  const file = await pixelExtractor();
  const found = await measurePictures(student, pictures(), file, measure(), signal);

  const noise = new Float32Array(30 * PIXELS);
  fillNormal(noise, 1, STREAMS.evaluation, 0);
  const { data } = await sample(student, {
    solver: 'one-step',
    noise: float32(noise, [30, ...SHAPE]),
    labels: Int32Array.from({ length: 30 }, (_, i) => i % 3),
  });
  const fake = toPictures(data, [30, ...SHAPE]).data;
  // Held bytes become samples in [-1, 1] and bytes again.
  const { scores } = await scoreFeatures({
    real: featuresOfArray('real', Float32Array.from(bytes), PIXELS),
    fake: featuresOfArray('fake', Float32Array.from(fake), PIXELS),
    ...{ extractor: 'pixels', metrics: ['fid', 'recall'], neighbours: 3, seed: 0 },
  });
  expect(Object.keys(found)).toEqual(['FID (pixels)', 'recall (pixels)']);
  for (const { name, value } of scores) expect(found[name]!.value).toBeCloseTo(value, 6);
});

test('a teacher takes the steps of the solver', async () => {
  const [teacher, file] = [tinyModel(TINY_DIT), await pixelExtractor()];
  const few = await measurePictures(teacher, pictures(), file, measure({ steps: 1 }), signal);
  const more = await measurePictures(teacher, pictures(), file, measure({ steps: 5 }), signal);
  expect(few['FID (pixels)']).not.toEqual(more['FID (pixels)']);
});

describe('refused:', () => {
  test('a model of points, data of another shape, data without an end', async () => {
    const file = await pixelExtractor();
    const refused = (model: Parameters<typeof measurePictures>[0], data = pictures()) =>
      expect(measurePictures(model, data, file, measure(), signal)).rejects;
    await refused(tinyModel(TINY_MLP)).toMatchObject({ code: 'SHAPE_MISMATCH' });
    await refused(tinyModel(TINY_DIT), pointSet('moons')).toMatchObject({ code: 'SHAPE_MISMATCH' });
    const { whole: _, ...endless } = pictures();
    await refused(tinyModel(TINY_DIT), endless).toMatchObject({ code: 'DATASET_INVALID' });
  });

  test('samples that are not finite', async () => {
    const { info, parameters } = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 1 });
    const broken = { info, parameters: parameters.map(() => Number.NaN) };
    const run = measurePictures(broken, pictures(), await pixelExtractor(), measure(), signal);
    await expect(run).rejects.toMatchObject({ code: 'DIVERGED' });
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
