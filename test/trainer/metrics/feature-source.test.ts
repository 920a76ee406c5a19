/** Features of files of every float type, and files that have none. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SafetensorsFile, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import {
  featuresOfArray,
  featuresOfFile,
  forEachBatch,
} from '../../../src/trainer/metrics/feature-source.ts';
import type { Tensor } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';

async function fileOf(features: Tensor): Promise<SafetensorsFile> {
  const path = join(await tempFolder(), 'a.safetensors');
  await writeSafetensors(path, new Map([['features', features]]));
  const file = await SafetensorsFile.open(path);
  onTestFinished(() => file.close());
  return file;
}

const VALUES = [1, -2.5, 0.5, 3, 0, 96];
const DATA: readonly Tensor[] = [
  { dtype: 'float32', shape: [3, 2], data: Float32Array.from(VALUES) },
  { dtype: 'float64', shape: [3, 2], data: Float64Array.from(VALUES) },
  {
    dtype: 'float16',
    shape: [3, 2],
    data: Uint16Array.of(0x3c00, 0xc100, 0x3800, 0x4200, 0, 0x5600),
  },
  {
    dtype: 'bfloat16',
    shape: [3, 2],
    data: Uint16Array.of(0x3f80, 0xc020, 0x3f00, 0x4040, 0, 0x42c0),
  },
];

test.each(DATA)('rows of a file of $dtype', async (tensor) => {
  const source = featuresOfFile(await fileOf(tensor), 'features');
  expect(source).toMatchObject({ count: 3, dim: 2 });
  expect(Array.from(await source.rows(1, 3))).toEqual(VALUES.slice(2));
  expect(Array.from(await source.rows(0, 1))).toEqual(VALUES.slice(0, 2));
});

test.each([
  [{ dtype: 'float32', shape: [6], data: new Float32Array(6) }, 'SHAPE_MISMATCH', 'the shape [6]'],
  [{ dtype: 'float32', shape: [0, 4], data: new Float32Array(0) }, 'SHAPE_MISMATCH', '[0, 4]'],
  [{ dtype: 'int32', shape: [1, 2], data: new Int32Array(2) }, 'FILE_FORMAT', 'of type I32'],
] as const)('a file of %o is refused', async (tensor, code, message) => {
  const file = await fileOf(tensor as Tensor);
  expect(() => featuresOfFile(file, 'features')).toThrow(message);
  expect(() => featuresOfFile(file, 'features')).toThrow(expect.objectContaining({ code }));
  expect(() => featuresOfFile(file, 'logits')).toThrow('has no tensor "logits"');
});

test('rows beyond the end are refused', async () => {
  const file = await fileOf(DATA[0]!);
  await expect(file.readRows('features', 2, 4)).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
  });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('%d is refused with its place', async (bad) => {
  const data = new Float32Array(1200 * 3);
  data[1100 * 3 + 2] = bad;
  const read = forEachBatch(featuresOfArray('fakes', data, 3), undefined, () => undefined);
  await expect(read).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    message: `fakes holds ${bad} (sample 1100, number 2)`,
  });
});

test('incomplete rows are refused', () => {
  expect(() => featuresOfArray('a', new Float32Array(5), 2)).toThrow('5 values are not rows of 2');
});
