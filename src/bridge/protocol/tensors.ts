/** @file Tensors inside the values that travel: they are named in the JSON and sent beside it. */
import { z } from 'zod';
import { bug, FlowstepError } from '../../errors.ts';
import { MAX_DEPTH, MAX_RANK } from './limits.ts';

/** Element types by name; float16 and bfloat16 are raw 16-bit words. All processors that Node runs on are little-endian. */
const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export type WireDType = keyof typeof ARRAYS;

export const WIRE_DTYPES = Object.keys(ARRAYS) as WireDType[];

/** Longest dimension: what a 32-bit index reaches. */
const MAX_DIMENSION = 2 ** 31 - 1;

/** A tensor without its elements. */
export const TensorSpecSchema = z.strictObject({
  name: z.string().min(1).max(128).describe('unique in its message'),
  dtype: z.enum(WIRE_DTYPES),
  shape: z.array(z.int().min(0).max(MAX_DIMENSION)).max(MAX_RANK),
});

export type TensorSpec = z.infer<typeof TensorSpecSchema>;

/** A tensor in memory, in row-major order; the trainer's tensors are such. */
export interface WireTensor {
  readonly dtype: WireDType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** Size of the elements; may be beyond any limit, or Infinity. */
export function byteLengthOf({ dtype, shape }: Pick<TensorSpec, 'dtype' | 'shape'>): number {
  return shape.reduce((size, d) => size * d, 1) * ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** The tensor whose elements `bytes` holds (not copied); their number must be right. */
export function tensorOver({ dtype, shape }: TensorSpec, bytes: ArrayBuffer): WireTensor {
  return { dtype, shape, data: new ARRAYS[dtype](bytes) };
}

/** The elements as bytes (not copied). */
export function bytesOf({ data }: WireTensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Where a tensor stands in JSON. */
const PLACEHOLDER = '$tensor';

/** `value` with each `{"$tensor": NAME}` replaced; throws MESSAGE_INVALID for a name that was not sent. */
export function fillTensors(value: unknown, tensors: ReadonlyMap<string, WireTensor>): unknown {
  return mapLeaves(value, 0, (leaf) => {
    if (!isObject(leaf) || !Object.hasOwn(leaf, PLACEHOLDER)) return undefined;
    const name = (leaf as Record<string, unknown>)[PLACEHOLDER];
    const tensor = typeof name === 'string' ? tensors.get(name) : undefined;
    if (tensor && Object.keys(leaf).length === 1) return tensor;
    throw new FlowstepError(
      'MESSAGE_INVALID',
      `the inputs name a tensor ${shown(name)} that is not among the tensors of the message`,
      {
        hint: 'List every tensor in `tensors`, and name it as {"$tensor": "NAME"} and nothing else.',
      },
    );
  });
}

export interface TakenTensors {
  /** JSON, with placeholders. */
  readonly value: unknown;
  readonly tensors: ReadonlyMap<string, WireTensor>;
}

/** The opposite of `fillTensors`: finds whatever is built like a tensor, at any depth, and names it. */
export function takeTensors(value: unknown): TakenTensors {
  const names = new Map<object, string>();
  const tensors = new Map<string, WireTensor>();
  const taken = mapLeaves(value, 0, (leaf) => {
    if (!isTensor(leaf)) return undefined;
    const name = names.get(leaf) ?? `t${names.size}`;
    names.set(leaf, name);
    tensors.set(name, leaf);
    return { [PLACEHOLDER]: name };
  });
  return { value: taken, tensors };
}

/** True for anything with the members of a tensor that fit each other. */
export function isTensor(value: unknown): value is WireTensor {
  if (!isObject(value)) return false;
  const { dtype, shape, data } = value as Partial<WireTensor>;
  return (
    typeof dtype === 'string' &&
    Object.hasOwn(ARRAYS, dtype) &&
    Array.isArray(shape) &&
    ArrayBuffer.isView(data) &&
    byteLengthOf({ dtype, shape }) === data.byteLength
  );
}

/** A copy of nested lists and objects in which `replace` may put something in any place. */
function mapLeaves(value: unknown, depth: number, replace: (value: unknown) => unknown): unknown {
  const replaced = replace(value);
  if (replaced !== undefined) return replaced;
  if (!isObject(value)) return value;
  if (depth >= MAX_DEPTH) {
    throw new FlowstepError('MESSAGE_INVALID', `values are nested deeper than ${MAX_DEPTH} levels`);
  }
  if (Array.isArray(value)) return value.map((item) => mapLeaves(item, depth + 1, replace));
  if (ArrayBuffer.isView(value)) throw bug('numbers outside of a tensor cannot be sent');
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, mapLeaves(item, depth + 1, replace)]),
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function shown(name: unknown): string {
  return JSON.stringify(name)?.slice(0, 140) ?? 'undefined';
}
