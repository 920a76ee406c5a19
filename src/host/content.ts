/** @file What a value on a link is, apart from where it lies in memory: JSON as it is, tensors by the hash of their bytes. */
import { bug } from '../errors.ts';
import { sha256 } from '../trainer/files/hash.ts';
import type { Tensor } from '../trainer/tensor.ts';

/** Tensors do not change once they are on a link, so each is hashed once. */
const hashes = new WeakMap<object, string>();

/** The value with each tensor replaced by { dtype, shape, sha256 }, and numbers that JSON lacks by their names. */
export function contentOf(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return { number: String(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (isTensor(value)) {
    return { dtype: value.dtype, shape: value.shape, sha256: hashOfBytes(value.data) };
  }
  if (Array.isArray(value)) return value.map(contentOf);
  if (!isPlain(value)) throw bug('a link carries what is neither JSON nor a tensor');
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, contentOf(part)]));
}

/** All objects inside the value, itself included; tensors are not looked into. */
export function* objectsIn(value: unknown): Generator<object> {
  if (typeof value !== 'object' || value === null) return;
  yield value;
  if (isTensor(value)) return;
  for (const part of Object.values(value)) yield* objectsIn(part);
}

export function isTensor(value: object): value is Tensor {
  const { dtype, shape, data } = value as Partial<Tensor>;
  return typeof dtype === 'string' && Array.isArray(shape) && ArrayBuffer.isView(data);
}

function hashOfBytes(data: Tensor['data']): string {
  const known = hashes.get(data);
  if (known !== undefined) return known;
  const hash = sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  hashes.set(data, hash);
  return hash;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
