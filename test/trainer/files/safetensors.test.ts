import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import {
  encodeSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  SafetensorsFile,
  writeSafetensors,
} from '../../../src/trainer/files/safetensors.ts';
import { parseHeader } from '../../../src/trainer/files/safetensors-header.ts';
import { type DType, sizeOf, type Tensor } from '../../../src/trainer/tensor.ts';
import { goldenCases } from '../../support/golden.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const GOLDEN = goldenCases('bad-safetensors')[0]!;

/** A file of this header (an object or its exact text) and data. */
function fileOf(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

async function fileWith(bytes: Uint8Array): Promise<string> {
  const path = join(await tempFolder(), 'a.safetensors');
  await writeFile(path, bytes);
  return path;
}

describe('reading', () => {
  test('holds each type as its own array, and types that we do not compute with as bytes', async () => {
    const { tensors, raw } = await readSafetensors(GOLDEN.file('ok-dtypes.safetensors'));
    expect([...tensors]).toEqual([
      ['a', { dtype: 'float16', shape: [2], data: Uint16Array.of(0x3e00, 0xc000) }],
      ['b', { dtype: 'bfloat16', shape: [2], data: Uint16Array.of(0x3fc0, 0xc000) }],
      ['c', { dtype: 'bool', shape: [4], data: Uint8Array.of(1, 0, 1, 0) }],
      ['d', { dtype: 'int64', shape: [1], data: BigInt64Array.of(-5n) }],
    ]);
    expect([...raw]).toEqual([
      ['e', { dtype: 'F8_E4M3', shape: [4], bytes: Uint8Array.of(0x38, 0xb8, 0x40, 0) }],
    ]);
  });

  test.each([
    { file: 'ok-scalar', name: 'a', shape: [], data: Float32Array.of(1) },
    { file: 'ok-unaligned', name: 'b', shape: [2, 2], data: Float32Array.of(0, 1, 2, 3) },
    { file: 'ok-zero-size', name: 'a', shape: [0, 3], data: new Float32Array() },
    { file: 'ok-order', name: 'b', shape: [2, 2], data: Float32Array.of(4, 5, 6, 7) },
    { file: 'ok-proto-name', name: '__proto__', shape: [2, 2], data: Float32Array.of(0, 1, 2, 3) },
    { file: 'ok-name-unicode', name: 'é.權', shape: [2, 2], data: Float32Array.of(0, 1, 2, 3) },
  ])('$file holds $name', async ({ file, name, shape, data }) => {
    const { tensors } = await readSafetensors(GOLDEN.file(`${file}.safetensors`));
    expect(tensors.get(name)).toEqual({ dtype: 'float32', shape, data });
  });

  test('gives metadata and the layout of the data without the data', async () => {
    const header = await readSafetensorsHeader(GOLDEN.file('ok-metadata.safetensors'));
    expect(header.metadata).toEqual({ format: 'pt' });
    expect([...header.tensors]).toEqual([
      ['a', { dtype: 'F32', shape: [2, 2], begin: 0, end: 16 }],
      ['b', { dtype: 'F32', shape: [2, 2], begin: 16, end: 32 }],
    ]);
  });

  test('reads single tensors from an open file', async () => {
    await using file = await SafetensorsFile.open(GOLDEN.file('ok-dtypes.safetensors'));
    expect((await file.read('d')).data).toEqual(BigInt64Array.of(-5n));
    expect((await file.readRaw('d')).bytes.length).toBe(8);
    await expect(file.read('e')).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringContaining('F8_E4M3'),
    });
    await expect(file.read('toString')).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });

  test.each([
    {
      what: 'a key twice, spelt differently',
      header: '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{}}',
      message: '"a" twice',
    },
    {
      what: 'a key twice inside an entry',
      header: '{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      message: '"dtype" twice',
    },
    {
      what: 'a key twice in the metadata',
      header: '{"__metadata__":{"k":"1","k":"2"}}',
      message: '"k" twice',
    },
    {
      what: 'half bytes',
      header: { a: { dtype: 'F4', shape: [3], data_offsets: [0, 1] } },
      message: 'no possible number of bytes',
    },
    {
      what: 'an inherited property as dtype',
      header: { a: { dtype: 'toString' } },
      message: 'dtype',
    },
  ])('refuses $what', async ({ header, message }) => {
    const path = await fileWith(fileOf(header));
    await expect(readSafetensors(path)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringContaining(message),
      details: { file: path },
    });
  });

  test('accepts the same key in different objects, and keys that are values elsewhere', async () => {
    const header = {
      __metadata__: { a: 'a', 'b"': '{"a":1,"a":2}' },
      a: { dtype: 'U8', shape: [0], data_offsets: [0, 0] },
      'b"': { dtype: 'U8', shape: [0], data_offsets: [0, 0] },
    };
    const { metadata, tensors } = await readSafetensors(await fileWith(fileOf(header)));
    expect(metadata).toEqual(header.__metadata__);
    expect([...tensors.keys()]).toEqual(['a', 'b"']);
  });

  test('says that a file is missing, or is a folder', async () => {
    const folder = await tempFolder();
    await expect(readSafetensors(join(folder, 'none'))).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    await expect(readSafetensors(folder)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  test('notices that an open file was cut short', async () => {
    const header = { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } };
    const bytes = fileOf(header, new Uint8Array(4));
    const path = await fileWith(bytes);
    await using file = await SafetensorsFile.open(path);
    await truncate(path, bytes.length - 1);
    await expect(file.read('a')).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });

  test('arbitrary bytes are read or refused, never anything else', async () => {
    const path = join(await tempFolder(), 'a.safetensors');
    const good = await readFile(GOLDEN.file('ok-dtypes.safetensors'));
    const damaged = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    const anyBytes = fc.uint8Array({ maxLength: 64 });
    const anyHeader = fc
      .tuple(fc.oneof(fc.json(), fc.string()), anyBytes)
      .map(([text, data]) => fileOf(text, data));
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyBytes, anyHeader, damaged), async (bytes) => {
        await writeFile(path, bytes);
        const result = await readSafetensors(path).catch((e: unknown) => e);
        if (result instanceof Error) {
          expect(result).toBeInstanceOf(FlowstepError);
          expect(result).toMatchObject({ code: 'FILE_FORMAT' });
        }
      }),
      { numRuns: 500 },
    );
  });

  test('arbitrary entries are laid out without holes or refused', () => {
    const size = fc.oneof(fc.nat(4), fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 53, null, '1'));
    const entry = fc.record(
      {
        dtype: fc.constantFrom('F32', 'U8', 'F6_E2M3', 'f32', 'BOOL', 7),
        shape: fc.array(size, { maxLength: 3 }),
        data_offsets: fc.array(size, { minLength: 1, maxLength: 3 }),
      },
      { requiredKeys: ['dtype', 'shape'] },
    );
    const header = fc.dictionary(fc.constantFrom('a', 'b', '__proto__', '__metadata__'), entry);
    fc.assert(
      fc.property(header, fc.nat(8), (object, dataBytes) => {
        try {
          const { tensors } = parseHeader(Buffer.from(JSON.stringify(object)), dataBytes, 'x');
          let covered = 0;
          for (const { begin, end } of tensors.values()) {
            expect(begin).toBe(covered);
            covered = end;
          }
          expect(covered).toBe(dataBytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'FILE_FORMAT' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('writing', () => {
  const arrays = {
    float64: fc.float64Array,
    float32: fc.float32Array,
    float16: fc.uint16Array,
    bfloat16: fc.uint16Array,
    int64: fc.bigInt64Array,
    int32: fc.int32Array,
    uint8: fc.uint8Array,
    bool: fc.uint8Array,
  } satisfies Record<DType, unknown>;

  const anyTensor: fc.Arbitrary<Tensor> = fc
    .tuple(
      fc.constantFrom(...(Object.keys(arrays) as DType[])),
      fc.array(fc.nat(3), { maxLength: 3 }),
    )
    .chain(([dtype, shape]) => {
      const length = { minLength: sizeOf(shape), maxLength: sizeOf(shape) };
      return arrays[dtype](length).map((data) => ({ dtype, shape, data }));
    });

  const anyName = fc
    .oneof(fc.string({ unit: 'binary' }), fc.constant('__proto__'))
    .filter((name) => name !== '__metadata__');

  test('what was written is read again, bit for bit', async () => {
    const path = join(await tempFolder(), 'a.safetensors');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(anyName, anyTensor), { maxLength: 5 }),
        fc.dictionary(anyName, fc.string({ unit: 'binary' })),
        async (entries, metadata) => {
          const tensors = new Map(entries);
          await writeSafetensors(path, tensors, metadata);
          const got = await readSafetensors(path);
          expect(Object.entries(got.metadata).sort()).toEqual(Object.entries(metadata).sort());
          expect(got.tensors.size).toBe(tensors.size);
          for (const [name, { dtype, shape, data }] of tensors) {
            const read = got.tensors.get(name)!;
            expect(read).toMatchObject({ dtype, shape });
            expect(Buffer.from(read.data.buffer)).toEqual(
              Buffer.from(data.buffer, data.byteOffset, data.byteLength),
            );
          }
          expect(await readFile(path)).toEqual(encodeSafetensors(tensors, metadata));
        },
      ),
    );
  });

  test('gives these bytes', () => {
    const bytes = encodeSafetensors(
      new Map<string, Tensor>([
        ['flag', { dtype: 'bool', shape: [], data: Uint8Array.of(1) }],
        ['w', { dtype: 'float32', shape: [1, 2], data: Float32Array.of(1, -2) }],
      ]),
      { format: 'pt' },
    );
    const header =
      '{"__metadata__":{"format":"pt"},' +
      '"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},' +
      '"flag":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    expect(Buffer.from(bytes).subarray(8, -9).toString()).toBe(padded);
    expect(Buffer.from(bytes).readBigUInt64LE()).toBe(BigInt(padded.length));
    expect(Buffer.from(bytes).subarray(-9).toString('hex')).toBe('0000803f000000c001');
  });

  test('a view into a larger buffer is written alone', async () => {
    const data = Float32Array.of(1, 2, 3, 4).subarray(1, 3);
    const path = join(await tempFolder(), 'a.safetensors');
    await writeSafetensors(path, new Map([['a', { dtype: 'float32', shape: [2], data }]]));
    expect((await readSafetensors(path)).tensors.get('a')!.data).toEqual(Float32Array.of(2, 3));
  });

  test('refuses a tensor whose values do not fill its shape, and the reserved name', () => {
    const tensor: Tensor = { dtype: 'float32', shape: [3], data: new Float32Array(2) };
    const encode = (name: string) => () => encodeSafetensors(new Map([[name, tensor]]));
    expect(encode('a')).toThrow(expect.objectContaining({ code: 'SHAPE_MISMATCH' }));
    expect(encode('__metadata__')).toThrow(expect.objectContaining({ code: 'VALUE_OUT_OF_RANGE' }));
  });
});
