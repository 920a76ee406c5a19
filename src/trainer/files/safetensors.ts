/** @file Reading and writing safetensors files (https://github.com/huggingface/safetensors). */
import { type FileHandle, open } from 'node:fs/promises';
import { FlowstepError } from '../../errors.ts';
import { type DType, type Shape, sizeOf, type Tensor, type TypedArrays } from '../tensor.ts';
import { atomicWrite, type WriteOptions } from './atomic-write.ts';
import { readError } from './read-error.ts';
import {
  type FileDtype,
  formatError,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  parseHeader,
  parseHeaderLength,
  type SafetensorsHeader,
  type TensorEntry,
} from './safetensors-header.ts';

/** A tensor of an element type that we do not compute with, as it lies in the file. */
export interface RawTensor {
  readonly dtype: FileDtype;
  readonly shape: Shape;
  readonly bytes: Uint8Array;
}

export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: Map<string, Tensor>;
  /** Tensors of types that `Tensor` does not have (F8_E4M3, I16, ...). */
  readonly raw: Map<string, RawTensor>;
}

/** Most bytes asked of one read call; Linux gives at most 2^31 - 4096. */
const MAX_READ_BYTES = 2 ** 30;

/** Alignment of the data section, so that readers may map it. */
const DATA_ALIGNMENT = 8;

const FILE_DTYPES = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
} as const satisfies Record<DType, FileDtype>;

const DTYPES = new Map<FileDtype, DType>(
  Object.entries(FILE_DTYPES).map(([dtype, fileDtype]) => [fileDtype, dtype as DType]),
);

const ARRAYS: { [D in DType]: new (buffer: ArrayBuffer) => TypedArrays[D] } = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** An open file, of which only the header is in memory; dispose of it (`await using`) or close it. */
export class SafetensorsFile implements AsyncDisposable {
  readonly path: string;
  readonly header: SafetensorsHeader;
  readonly #handle: FileHandle;
  readonly #dataStart: number;

  private constructor(path: string, handle: FileHandle, header: SafetensorsHeader, start: number) {
    this.path = path;
    this.header = header;
    this.#handle = handle;
    this.#dataStart = start;
  }

  /** Opens and checks a file; throws FILE_NOT_FOUND, FILE_UNREADABLE or FILE_FORMAT. */
  static async open(path: string): Promise<SafetensorsFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error('it is not a file');
      const prefix = await readExactly(handle, 0, Math.min(LENGTH_BYTES, stat.size), path);
      const length = parseHeaderLength(new Uint8Array(prefix), stat.size, path);
      const dataStart = LENGTH_BYTES + length;
      const header = parseHeader(
        new Uint8Array(await readExactly(handle, LENGTH_BYTES, length, path)),
        stat.size - dataStart,
        path,
      );
      return new SafetensorsFile(path, handle, header, dataStart);
    } catch (error) {
      await handle?.close();
      throw readError(path, error);
    }
  }

  /** Reads one tensor; throws FILE_FORMAT when it is absent or of a type that `Tensor` does not have. */
  async read(name: string): Promise<Tensor> {
    return this.#decode(name, this.#entry(name));
  }

  /** Reads rows [from, to) along a tensor's first axis; throws as `read`, and VALUE_OUT_OF_RANGE. */
  async readRows(name: string, from: number, to: number): Promise<Tensor> {
    const entry = this.#entry(name);
    const [rows = 0, ...rest] = entry.shape;
    if (!(from >= 0 && from <= to && to <= rows)) {
      throw new FlowstepError(
        'VALUE_OUT_OF_RANGE',
        `${this.path}: "${name}" has no rows ${from} to ${to} but ${rows} in all`,
        { file: this.path },
      );
    }
    const rowBytes = rows === 0 ? 0 : (entry.end - entry.begin) / rows;
    return this.#decode(name, {
      ...entry,
      shape: [to - from, ...rest],
      begin: entry.begin + from * rowBytes,
      end: entry.begin + to * rowBytes,
    });
  }

  /** Reads one tensor of any type as its bytes; throws FILE_FORMAT when it is absent. */
  async readRaw(name: string): Promise<RawTensor> {
    const entry = this.#entry(name);
    const bytes = new Uint8Array(await this.#bytes(entry));
    return { dtype: entry.dtype, shape: entry.shape, bytes };
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #decode(name: string, entry: TensorEntry): Promise<Tensor> {
    const dtype = DTYPES.get(entry.dtype);
    if (dtype === undefined) {
      throw new FlowstepError(
        'FILE_FORMAT',
        `${this.path}: tensor "${name}" has the unsupported type ${entry.dtype}`,
        { file: this.path, hint: `Supported types: ${[...DTYPES.keys()].join(', ')}.` },
      );
    }
    const data = new ARRAYS[dtype](await this.#bytes(entry));
    return { dtype, shape: entry.shape, data };
  }

  #entry(name: string): TensorEntry {
    const entry = this.header.tensors.get(name);
    if (entry) return entry;
    throw new FlowstepError('FILE_FORMAT', `${this.path}: has no tensor "${name}"`, {
      file: this.path,
    });
  }

  async #bytes({ begin, end }: TensorEntry): Promise<ArrayBuffer> {
    try {
      return await readExactly(this.#handle, this.#dataStart + begin, end - begin, this.path);
    } catch (error) {
      throw readError(this.path, error);
    }
  }
}

/** Names, shapes, types and metadata, without the data; throws FILE_NOT_FOUND, FILE_UNREADABLE or FILE_FORMAT. */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  await using file = await SafetensorsFile.open(path);
  return file.header;
}

/** Everything in a file; throws FILE_NOT_FOUND, FILE_UNREADABLE or FILE_FORMAT. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  await using file = await SafetensorsFile.open(path);
  const tensors = new Map<string, Tensor>();
  const raw = new Map<string, RawTensor>();
  for (const [name, { dtype }] of file.header.tensors) {
    if (DTYPES.has(dtype)) tensors.set(name, await file.read(name));
    else raw.set(name, await file.readRaw(name));
  }
  return { metadata: file.header.metadata, tensors, raw };
}

/** The bytes of a file; throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE for tensors that cannot be stored. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return Buffer.concat(encodeChunks(tensors, metadata));
}

/** Writes a file atomically without copying the data; throws as `encodeSafetensors`, or FILE_UNWRITABLE. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Promise<void> {
  await atomicWrite(path, encodeChunks(tensors, metadata), options);
}

/** Header and data as pieces that lie one after the other in the file; the data are views, not copies. */
function encodeChunks(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array[] {
  // Widest elements first, so that every tensor begins at a multiple of its element size.
  const ordered = [...tensors].sort(
    ([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT,
  );
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata]);
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of ordered) {
    checkStorable(name, tensor);
    const { buffer, byteOffset, byteLength } = tensor.data;
    chunks.push(new Uint8Array(buffer, byteOffset, byteLength));
    entries.push([
      name,
      {
        dtype: FILE_DTYPES[tensor.dtype],
        shape: tensor.shape,
        data_offsets: [offset, offset + byteLength],
      },
    ]);
    offset += byteLength;
  }
  // fromEntries makes a tensor named __proto__ an ordinary key.
  return [encodeHeader(JSON.stringify(Object.fromEntries(entries))), ...chunks];
}

function encodeHeader(json: string): Uint8Array {
  const text = Buffer.from(json);
  const length = Math.ceil(text.length / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  if (length > MAX_HEADER_BYTES) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `a safetensors header of ${length} bytes is over the limit of ${MAX_HEADER_BYTES}`,
    );
  }
  const header = Buffer.alloc(LENGTH_BYTES + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  header.set(text, LENGTH_BYTES);
  return header;
}

function checkStorable(name: string, { shape, data }: Tensor): void {
  if (name === '__metadata__') {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'a tensor cannot be named __metadata__');
  }
  if (data.length !== sizeOf(shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `tensor "${name}": ${data.length} values do not fill shape [${shape.join(', ')}]`,
    );
  }
}

async function readExactly(
  handle: FileHandle,
  position: number,
  length: number,
  path: string,
): Promise<ArrayBuffer> {
  const buffer = new ArrayBuffer(length);
  const bytes = new Uint8Array(buffer);
  let done = 0;
  while (done < length) {
    const wanted = Math.min(length - done, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(bytes, done, wanted, position + done);
    if (bytesRead === 0) throw formatError(path, 'the file became shorter while it was read');
    done += bytesRead;
  }
  return buffer;
}
