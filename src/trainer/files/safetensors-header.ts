/** @file The header of a safetensors file: element types, layout of the data, and the checks that make a file trustworthy. */
import { FlowstepError } from '../../errors.ts';
import type { Shape } from '../tensor.ts';
import { findDuplicateKey } from './duplicate-key.ts';

/** Longest header that is read, in bytes; the reference implementation has the same limit. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes before the header: its length as an unsigned 64-bit little-endian integer. */
export const LENGTH_BYTES = 8;

/** Bits per element of every type that the format knows (safetensors 0.8). */
const FILE_DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** Element type as a safetensors file spells it. */
export type FileDtype = keyof typeof FILE_DTYPE_BITS;

/** Where a tensor lies: `begin` and `end` are byte offsets from the start of the data section. */
export interface TensorEntry {
  readonly dtype: FileDtype;
  readonly shape: Shape;
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of the data. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** A file that breaks the format: FILE_FORMAT, naming the file. */
export function formatError(path: string, what: string, cause?: unknown): FlowstepError {
  return new FlowstepError('FILE_FORMAT', `${path}: not a valid safetensors file: ${what}`, {
    file: path,
    cause,
    hint: 'The file may be cut short or damaged: copy or download it again.',
  });
}

/** Length of the header from the first 8 bytes of a file of `fileBytes`; throws FILE_FORMAT when it cannot be. */
export function parseHeaderLength(prefix: Uint8Array, fileBytes: number, path: string): number {
  if (prefix.length < LENGTH_BYTES) {
    throw formatError(path, `it has ${prefix.length} bytes, fewer than the 8 of the header length`);
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw formatError(
      path,
      `header of ${length} bytes, more than the limit of ${MAX_HEADER_BYTES}`,
    );
  }
  if (Number(length) > fileBytes - LENGTH_BYTES) {
    throw formatError(path, `header of ${length} bytes in a file of ${fileBytes}`);
  }
  return Number(length);
}

/** The header's content, checked against `dataBytes`, the size of the data section; throws FILE_FORMAT. */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string): SafetensorsHeader {
  const root = parseObject(bytes, path);
  let metadata: Record<string, string> = {};
  const entries: [string, TensorEntry][] = [];
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') metadata = parseMetadata(value, path);
    else entries.push([name, parseEntry(name, value, path)]);
  }
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, dataBytes, path);
  return { metadata, tensors: new Map(entries) };
}

/** Size of a tensor in bytes, or undefined when it is no whole, safe number. */
export function byteLength(dtype: FileDtype, shape: Shape): number | undefined {
  let bits: number = FILE_DTYPE_BITS[dtype];
  for (const d of shape) {
    bits *= d;
    if (!Number.isSafeInteger(bits)) return undefined;
  }
  return bits % 8 === 0 ? bits / 8 : undefined;
}

function parseObject(bytes: Uint8Array, path: string): object {
  let text: string;
  try {
    // The byte order mark is kept, so that JSON.parse refuses it as the format does.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw formatError(path, 'the header is not UTF-8', error);
  }
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw formatError(path, `the header is not JSON (${why})`, error);
  }
  if (!isObject(root)) throw formatError(path, 'the header is not a JSON object');
  const twice = findDuplicateKey(text);
  if (twice !== undefined) throw formatError(path, `the header has ${quote(twice)} twice`);
  return root;
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (!isObject(value)) throw formatError(path, '__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw formatError(path, `__metadata__ has a value that is not text at ${quote(key)}`);
    }
  }
  return value as Record<string, string>; // every value was just seen to be a string
}

function parseEntry(name: string, value: unknown, path: string): TensorEntry {
  const wrong = (what: string) => formatError(path, `tensor ${quote(name)}: ${what}`);
  if (!isObject(value)) throw wrong('its entry is not an object');
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (!isFileDtype(dtype)) throw wrong(`unknown dtype ${quote(dtype)}`);
  if (!isSizes(shape)) throw wrong(`shape ${quote(shape)} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw wrong(`data_offsets ${quote(offsets)} is not a pair of positions`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) throw wrong(`its data ends (${end}) before it begins (${begin})`);
  const needed = byteLength(dtype, shape);
  if (needed !== end - begin) {
    const size = needed === undefined ? 'no possible number of' : needed;
    throw wrong(
      `${dtype} of shape ${quote(shape)} takes ${size} bytes, its data has ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

/** Every byte of the data must belong to exactly one tensor. */
function checkCoverage(
  entries: readonly (readonly [string, TensorEntry])[],
  dataBytes: number,
  path: string,
): void {
  let covered = 0;
  for (const [name, { begin, end }] of entries) {
    if (begin < covered) {
      throw formatError(path, `tensor ${quote(name)} overlaps the one before it at byte ${begin}`);
    }
    if (begin > covered) {
      throw formatError(path, `bytes ${covered} to ${begin} of the data belong to no tensor`);
    }
    if (end > dataBytes) {
      throw formatError(path, `tensor ${quote(name)} ends at byte ${end} of ${dataBytes}`);
    }
    covered = end;
  }
  if (covered < dataBytes) {
    throw formatError(path, `bytes ${covered} to ${dataBytes} of the data belong to no tensor`);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFileDtype(value: unknown): value is FileDtype {
  return typeof value === 'string' && Object.hasOwn(FILE_DTYPE_BITS, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}

/** A value from the file as it may stand in a message: as JSON, and not at any length. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
