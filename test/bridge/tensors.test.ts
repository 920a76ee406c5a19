/** Tensors inside values, and in frames over the socket. */
import { describe, expect, test } from 'vitest';
import { MAX_TENSOR_BYTES } from '../../src/bridge/protocol/limits.ts';
import {
  fillTensors,
  isTensor,
  takeTensors,
  WIRE_DTYPES,
  type WireTensor,
} from '../../src/bridge/protocol/tensors.ts';
import { Client, echo, serverOf } from './support.ts';

const float = (...values: number[]): WireTensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});

describe('tensors in values', () => {
  test('are taken out at any depth, named once each, and put back', () => {
    const [a, b] = [float(1, 2), float(3)];
    const value = { c: [[a, { pooled: b }], a], d: 'text', e: { f: null } };
    const taken = takeTensors(value);
    expect(taken.value).toEqual({
      c: [[{ $tensor: 't0' }, { pooled: { $tensor: 't1' } }], { $tensor: 't0' }],
      d: 'text',
      e: { f: null },
    });
    expect(fillTensors(taken.value, taken.tensors)).toEqual(value);
  });

  test.each([
    { shape: [3], dtype: 'float32', data: new Float32Array(2) },
    { shape: [2], dtype: 'float64', data: new Float32Array(2) },
    { shape: [2], dtype: 'complex', data: new Float32Array(2) },
    { shape: [2], dtype: 'float32', data: [1, 2] },
  ])('are told from what only looks like one (%#)', (value) => {
    expect(isTensor(value)).toBe(false);
  });

  test.each([{ $tensor: 'none' }, { $tensor: 5 }, { $tensor: 't', more: 1 }])(
    'cannot be named as %j',
    (value) => {
      const tensors = new Map([['t', float(1)]]);
      expect(() => fillTensors({ a: [value] }, tensors)).toThrow(
        expect.objectContaining({ code: 'MESSAGE_INVALID' }),
      );
    },
  );

  test('nested too deep are refused', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100; i++) deep = [deep];
    expect(() => fillTensors(deep, new Map())).toThrow('deeper than 64');
  });
});

describe('tensors over the socket', () => {
  test.each(WIRE_DTYPES)('of type %s come back as they went, in whatever chunks', async (dtype) => {
    const server = await serverOf({ echo });
    const client = await Client.connect(server);
    const size = { float64: 8, int64: 8, float32: 4, int32: 4, float16: 2, bfloat16: 2 }[
      dtype as string
    ];
    const bytes = Buffer.from(Array.from({ length: 6 * (size ?? 1) }, (_, i) => (i * 37) % 251));
    const tensors = [{ name: 'x', dtype, shape: [2, 3] }];
    client.send({
      type: 'execute',
      key: 'k',
      node: 'echo',
      inputs: { a: { $tensor: 'x' } },
      tensors,
    });
    client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0 }, bytes.subarray(0, 1));
    client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 1 }, bytes.subarray(1));
    expect(await client.end('k')).toMatchObject({
      outputs: { a: { $tensor: 't0' } },
      tensors: [{ name: 't0', dtype, shape: [2, 3] }],
    });
    expect(client.kinds('k')).toEqual(['accepted', 'started', 'tensor', 'result']);
    const frame = client.received.at(-2)!;
    expect(frame).toMatchObject({ kind: 'tensor', name: 't0', offset: 0 });
    expect('payload' in frame && frame.payload).toEqual(bytes);
  });

  test('of two executions may be mixed; each starts when it is whole', async () => {
    const order: string[] = [];
    const server = await serverOf({
      node: async ({ inputs }) => {
        order.push(String(inputs['name']));
        return {};
      },
    });
    const client = await Client.connect(server);
    const tensors = [{ name: 'x', dtype: 'uint8', shape: [4] }];
    for (const name of ['a', 'b']) {
      client.send({
        type: 'execute',
        key: name,
        node: 'node',
        inputs: { name, x: { $tensor: 'x' } },
        tensors,
      });
    }
    const half = new Uint8Array(2);
    for (const [name, offset] of [
      ['a', 0],
      ['b', 0],
      ['b', 2],
      ['a', 2],
    ] as const) {
      client.sendFrame({ kind: 'tensor', key: name, name: 'x', offset }, half);
    }
    await Promise.all([client.end('a'), client.end('b')]);
    expect(order).toEqual(['b', 'a']);
  });

  test('without elements need one frame without payload', async () => {
    const server = await serverOf({ echo });
    const client = await Client.connect(server);
    const tensors = [{ name: 'x', dtype: 'float32', shape: [0, 4] }];
    client.send({
      type: 'execute',
      key: 'k',
      node: 'echo',
      inputs: { a: { $tensor: 'x' } },
      tensors,
    });
    client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0 });
    await client.end('k');
    expect(client.kinds('k')).toEqual(['accepted', 'started', 'tensor', 'result']);
  });

  test.each([
    { name: 'a gap', offset: 1, length: 2, says: 'do not fit' },
    { name: 'too much', offset: 0, length: 9, says: 'do not fit' },
    { name: 'another name', tensor: 'y', offset: 0, length: 8, says: 'is not listed' },
  ])(
    'with $name are refused, and the execution with them',
    async ({ tensor, offset, length, says }) => {
      const server = await serverOf({ echo });
      const client = await Client.connect(server);
      const tensors = [{ name: 'x', dtype: 'float32', shape: [2] }];
      client.send({ type: 'execute', key: 'k', node: 'echo', inputs: {}, tensors });
      client.sendFrame(
        { kind: 'tensor', key: 'k', name: tensor ?? 'x', offset },
        new Uint8Array(length),
      );
      expect(await client.end('k')).toMatchObject({
        code: 'MESSAGE_INVALID',
        seq: 0,
        message: expect.stringContaining(says),
      });
      // What is still on its way is passed over, and the key is free again.
      client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0 }, new Uint8Array(8));
      client.execute('k', 'echo');
      await client.until((m) => 'type' in m && m.type === 'result');
      expect(client.kinds('k')).toEqual(['error', 'accepted', 'started', 'result']);
    },
  );

  test.each([
    {
      tensors: [{ name: 'x', dtype: 'uint8', shape: [2, MAX_TENSOR_BYTES / 2 + 1] }],
      code: 'MESSAGE_TOO_LARGE',
    },
    {
      tensors: [{ name: 'x', dtype: 'float64', shape: Array(8).fill(2 ** 31 - 1) }],
      code: 'MESSAGE_TOO_LARGE',
    },
    {
      tensors: [
        { name: 'x', dtype: 'uint8', shape: [1] },
        { name: 'x', dtype: 'uint8', shape: [1] },
      ],
      code: 'MESSAGE_INVALID',
    },
  ])('that cannot be are refused before memory is set aside (%#)', async ({ tensors, code }) => {
    const client = await Client.connect(await serverOf({ echo }));
    client.send({ type: 'execute', key: 'k', node: 'echo', inputs: {}, tensors });
    expect(await client.end('k')).toMatchObject({ code, seq: 0 });
  });

  test('may be cancelled half way', async () => {
    const client = await Client.connect(await serverOf({ echo }));
    const tensors = [{ name: 'x', dtype: 'float32', shape: [2] }];
    client.send({ type: 'execute', key: 'k', node: 'echo', inputs: {}, tensors });
    client.send({ type: 'cancel', key: 'k' });
    expect(await client.end('k')).toMatchObject({ code: 'INTERRUPTED', seq: 0 });
  });
});
