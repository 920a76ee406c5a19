import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { contentOf, objectsIn } from '../../src/host/content.ts';
import { float32 } from '../../src/trainer/tensor.ts';

const values = Float32Array.of(1, -2.5, 0, 8);
const hash = createHash('sha256').update(Buffer.from(values.buffer)).digest('hex');

test('tensors are told by type, shape and the hash of their bytes, wherever they lie', () => {
  const part = new Float32Array([9, ...values, 9]).subarray(1, 5);
  const expected = { dtype: 'float32', shape: [2, 2], sha256: hash };
  expect(contentOf(float32(values, [2, 2]))).toEqual(expected);
  expect(contentOf({ latent: [float32(part, [2, 2])] })).toEqual({ latent: [expected] });
});

test('other values, shapes and types have other contents', () => {
  const bits = new Int32Array(values.buffer);
  const all = [
    float32(values, [2, 2]),
    float32(values, [4]),
    float32(values.map(Math.abs), [2, 2]),
    { dtype: 'int32', shape: [2, 2], data: bits },
    float32(values.subarray(0, 2), [2]),
    float32(values.subarray(2), [2]),
  ].map((tensor) => JSON.stringify(contentOf(tensor)));
  expect(new Set(all).size).toBe(6);
});

test('JSON stays as it is, and numbers that JSON lacks are not lost', () => {
  const handle = { type: 'X', list: [1, null, { a: 'b' }], no: undefined };
  expect(contentOf(handle)).toEqual(handle);
  expect(contentOf([Number.NaN, Number.NEGATIVE_INFINITY])).toEqual([
    { number: 'NaN' },
    { number: '-Infinity' },
  ]);
});

test('what is neither JSON nor a tensor is a bug', () => {
  expect(() => contentOf({ when: new Date(0) })).toThrow(/neither JSON nor a tensor/);
});

test('objects are found at every depth, tensors as one', () => {
  const tensor = float32(values, [4]);
  const inner = { deep: 1 };
  const list = [inner, tensor];
  const outer = { list, text: 'x' };
  expect([...objectsIn(outer)]).toEqual([outer, list, inner, tensor]);
});
