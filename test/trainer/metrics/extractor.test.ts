/** Extractors by file: small networks made here stand in for Inception-v3. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ELEMENT_TYPES, ModelProto } from '../../../src/trainer/graph/onnx-format.ts';
import {
  EXTRACTOR_KEY,
  extractFeatures,
  FeatureExtractor,
} from '../../../src/trainer/metrics/extractor.ts';
import type { Pictures } from '../../../src/trainer/metrics/preprocessing.ts';
import type { DType } from '../../../src/trainer/tensor.ts';
import { float, handModel, int64 } from '../../support/onnx-models.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const AS_IS = {
  size: null,
  filter: 'bilinear-tf1',
  channels: 'rgb',
  layout: 'nchw',
  subtract: 0,
  divide: 1,
};
const DECLARED = { name: 'means-v1', preprocessing: AS_IS };

interface NetworkOptions {
  /** 0 is left open. */
  readonly batch?: number;
  readonly size?: number;
  readonly dtype?: 'float32' | 'uint8';
  readonly layout?: 'nchw' | 'nhwc';
}

/** As `inputMessage`, with a name where the size is 0. */
function port(name: string, shape: readonly number[], dtype: DType = 'float32'): object {
  const dim = shape.map((size, i) => (size === 0 ? { dimParam: `n${i}` } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[dtype], shape: { dim } } } };
}

/**
 * Features: means of the three channels. Logits: twice the mean of red, and of blue. With a convolution, as only a
 * file that is run as it is may have any operator.
 */
function meansNetwork({ batch = 0, size = 0, dtype = 'float32', layout = 'nchw' }: NetworkOptions) {
  const shape = layout === 'nchw' ? [batch, 3, size, size] : [batch, size, size, 3];
  return handModel({
    inputs: { x: port('x', shape, dtype) },
    initializers: {
      w: float([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3, 1, 1]),
      pick: float([2, 0, 0, 0, 0, 2], [3, 2]),
      flat: int64([0, 3]),
    },
    nodes: [
      { opType: 'Cast', input: ['x'], output: ['f'], attributes: { to: 1 } },
      {
        opType: layout === 'nchw' ? 'Identity' : 'Transpose',
        input: ['f'],
        output: ['p'],
        attributes: layout === 'nchw' ? {} : { perm: [0, 3, 1, 2] },
      },
      { opType: 'Conv', input: ['p', 'w'], output: ['c'] },
      { opType: 'GlobalAveragePool', input: ['c'], output: ['pool'] },
      { opType: 'Reshape', input: ['pool', 'flat'], output: ['r'] },
      { opType: 'MatMul', input: ['r', 'pick'], output: ['logits'] },
    ],
    graph: {
      output: [port('pool', [batch, 3, 1, 1]), port('logits', [batch, 2]), port('r', [batch, 0])],
    },
  });
}

async function openExtractor(model: Uint8Array, declared: object | null = DECLARED) {
  const file = join(await tempFolder(), 'means.onnx');
  await writeFile(file, model);
  if (declared !== null) {
    await writeFile(file.replace('.onnx', '.json'), JSON.stringify(declared));
  }
  const extractor = await FeatureExtractor.open(file);
  onTestFinished(() => extractor[Symbol.dispose]());
  return extractor;
}

/** Pictures whose channels are 10, 20, 30 in the first, 11, 21, 31 in the second and so on. */
function flatPictures(count: number, side: number): Pictures {
  const area = side * side;
  const data = Uint8Array.from(
    { length: count * 3 * area },
    (_, i) => 10 * (1 + (Math.floor(i / area) % 3)) + Math.floor(i / (3 * area)),
  );
  return { shape: [count, 3, side, side], data };
}

const MEANS = (count: number) =>
  Array.from({ length: count }, (_, i) => [10 + i, 20 + i, 30 + i]).flat();

describe('extracts', () => {
  test.each([
    {},
    { batch: 2 },
    { batch: 8, size: 4 },
    { dtype: 'uint8' },
    { layout: 'nhwc', size: 4 },
  ] as const)('with a network that takes %j', async (options) => {
    const preprocessing = { ...AS_IS, layout: 'layout' in options ? options.layout : 'nchw' };
    const extractor = await openExtractor(meansNetwork(options), {
      ...DECLARED,
      preprocessing,
      logits: 'logits',
    });
    expect(extractor.dim).toBe(3);
    const got = await extractor.extract(flatPictures(5, 4));
    expect(Array.from(got.features)).toEqual(MEANS(5));
    expect(Array.from(got.logits!)).toEqual([20, 60, 22, 62, 24, 64, 26, 66, 28, 68]);
  });

  test('after legacy_tensorflow preprocessing, on a stand-in of 299 pixels', async () => {
    const extractor = await openExtractor(meansNetwork({ size: 299 }), {
      name: 'stand-in',
      preprocessing: 'legacy_tensorflow',
    });
    const { features } = await extractor.extract(flatPictures(1, 4));
    [10, 20, 30].forEach((byte, c) => {
      expect(features[c]).toBeCloseTo((byte - 128) / 128, 5);
    });
  });

  test('more pictures than a run takes, part after part', async () => {
    const extractor = await openExtractor(meansNetwork({}));
    async function* parts() {
      yield flatPictures(70, 1);
      yield flatPictures(3, 1);
    }
    const got = await extractFeatures(extractor, parts());
    expect(got.count).toBe(73);
    expect(got.logits).toBeUndefined();
    expect(Array.from(got.features)).toEqual([...MEANS(70), ...MEANS(3)]);
  });

  test('by the declaration that the file carries itself', async () => {
    const message = ModelProto.decode(meansNetwork({}));
    const metadataProps = [{ key: EXTRACTOR_KEY, value: JSON.stringify(DECLARED) }];
    const model = ModelProto.encode({ ...message, metadataProps } as never).finish();
    const extractor = await openExtractor(model, null);
    expect(extractor.declared.name).toBe('means-v1');
  });
});

test('the hash follows file and declaration', async () => {
  const hashes = [
    await openExtractor(meansNetwork({})),
    await openExtractor(meansNetwork({})),
    await openExtractor(meansNetwork({ batch: 2 })),
    await openExtractor(meansNetwork({}), { ...DECLARED, preprocessing: { ...AS_IS, divide: 2 } }),
  ].map(({ hash }) => hash);
  expect(new Set(hashes).size).toBe(3);
  expect(hashes[0]).toBe(hashes[1]);
});

describe('refuses', () => {
  test.each([
    [
      'an output that is not there',
      {},
      { ...DECLARED, features: 'pool3' },
      /no output "pool3" but pool, logits, r/,
    ],
    [
      'an output of open width',
      {},
      { ...DECLARED, features: 'r' },
      /output "r" is float32\[\?, \?\]/,
    ],
    ['no declaration', {}, null, /does not say how pictures are prepared/],
    ['a declaration without a name', {}, { preprocessing: AS_IS }, /does not declare an extractor/],
  ] as const)('%s', async (_, options, declared, message) => {
    await expect(openExtractor(meansNetwork(options), declared)).rejects.toThrow(message);
  });

  test('a file that is no network, and none', async () => {
    await expect(openExtractor(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({
      code: 'FILE_FORMAT',
    });
    await expect(FeatureExtractor.open('/nowhere/a.onnx')).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });

  test('networks of other inputs', async () => {
    const two = handModel({
      inputs: { x: [1, 3, 2, 2], y: [1, 3, 2, 2] },
      nodes: [{ opType: 'Add', input: ['x', 'y'], output: ['y1'] }],
      outputs: ['y1'],
    });
    await expect(openExtractor(two)).rejects.toThrow('it has 2 inputs, not one');
    const flat = handModel({
      inputs: { x: [1, 12] },
      nodes: [{ opType: 'Relu', input: ['x'], output: ['y'] }],
    });
    await expect(openExtractor(flat)).rejects.toThrow('input "x" has 2 axes, not four');
  });

  test('pictures of another size, and of too many channels', async () => {
    const extractor = await openExtractor(meansNetwork({ size: 4 }));
    await expect(extractor.extract(flatPictures(2, 5))).rejects.toThrow(
      'it takes pictures of [3, 4, 4], and these are [3, 5, 5] after preprocessing',
    );
    const four: Pictures = { shape: [1, 4, 4, 4], data: new Uint8Array(64) };
    await expect(extractor.extract(four)).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  });

  test('to go on when it is interrupted', async () => {
    const extractor = await openExtractor(meansNetwork({}));
    await expect(extractor.extract(flatPictures(2, 4), AbortSignal.abort())).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});
