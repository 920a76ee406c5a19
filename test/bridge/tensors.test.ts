/** Tensors inside values, in frames and in files. */
import {
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MAX_TENSOR_BYTES, SHARED_FILE_BYTES } from '../../src/bridge/protocol/limits.ts';
import {
  fillTensors,
  isTensor,
  takeTensors,
  WIRE_DTYPES,
  type WireTensor,
} from '../../src/bridge/protocol/tensors.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { Client, echo, gated, serverOf } from './support.ts';

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

/** A server, a client and a tensor that is large enough for a file. */
async function withFolder() {
  const elements = SHARED_FILE_BYTES / 4 + 1;
  const data = Float32Array.from({ length: elements }, (_, i) => i);
  const server = await serverOf({
    echo,
    make: async () => ({ outputs: { a: { dtype: 'float32', shape: [elements], data } } }),
  });
  const client = await Client.connect(server);
  const hello = client.received[0]!;
  const folder = 'sharedFolder' in hello && hello.sharedFolder ? hello.sharedFolder : '';
  const upload = (file: string) => {
    const tensors = [{ name: 'x', dtype: 'float32', shape: [elements] }];
    client.send({
      type: 'execute',
      key: 'k',
      node: 'echo',
      inputs: { a: { $tensor: 'x' } },
      tensors,
    });
    client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0, file });
  };
  return { server, client, folder, data, bytes: new Uint8Array(data.buffer), upload };
}

describe('tensors in files', () => {
  test('go there and back, only the user can read them, and none is left', async () => {
    const { server, client, folder, bytes } = await withFolder();
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const file = join(folder, 'mine');
    await writeFile(file, bytes, { mode: 0o600 });
    const tensors = [{ name: 'x', dtype: 'uint8', shape: [bytes.length] }];
    client.send({
      type: 'execute',
      key: 'k',
      node: 'echo',
      inputs: { a: { $tensor: 'x' } },
      tensors,
      sharedFiles: true,
    });
    client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0, file });
    await client.end('k');
    const frame = client.received.at(-2)!;
    const answer = 'file' in frame && frame.file ? frame.file : '';
    expect((await stat(answer)).mode & 0o777).toBe(0o600);
    expect(Buffer.compare(await readFile(answer), bytes)).toBe(0);
    expect(await readdir(folder)).toEqual([answer.slice(folder.length + 1)]);
    // The client forgets to unlink it.
    client.send({ type: 'done', key: 'k' });
    await server.stop();
    await expect(stat(folder)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('are not used for a client that did not ask, nor for small ones', async () => {
    const { client, bytes } = await withFolder();
    client.execute('k', 'make');
    await client.end('k');
    const frame = client.received.at(-2)!;
    expect('payload' in frame && Buffer.compare(frame.payload, bytes)).toBe(0);
    client.send({ type: 'attach', key: 'k', after: 2, sharedFiles: true });
    const again = await client.until((m) => 'kind' in m && m.kind === 'tensor' && 'file' in m);
    expect(again).toMatchObject({ name: 't0', offset: 0 });
  });

  test.each([
    ['outside of the folder', async (file: string) => file],
    [
      'reached through a link',
      async (file: string, folder: string) => {
        await symlink(file, join(folder, 'link'));
        return join(folder, 'link');
      },
    ],
    [
      'with a second name',
      async (file: string, folder: string) => {
        await link(file, join(folder, 'hard'));
        return join(folder, 'hard');
      },
    ],
    [
      'below a folder in it',
      async (file: string, folder: string) => {
        await mkdir(join(folder, 'below'));
        await writeFile(join(folder, 'below', 'x'), await readFile(file), { mode: 0o600 });
        return join(folder, 'below', 'x');
      },
    ],
    [
      'that others can read',
      async (file: string, folder: string) => {
        await writeFile(join(folder, 'open'), await readFile(file));
        await chmod(join(folder, 'open'), 0o644);
        return join(folder, 'open');
      },
    ],
    ['that is not there', async (_: string, folder: string) => join(folder, 'none')],
    [
      'that is a folder',
      async (_: string, folder: string) => {
        await mkdir(join(folder, 'dir'));
        return join(folder, 'dir');
      },
    ],
    ['with NUL in its name', async (_: string, folder: string) => join(folder, 'a\0b')],
    ['with .. in its name', async (file: string, folder: string) => `${folder}/../${file}`],
    [
      'of another size',
      async (_: string, folder: string) => {
        await writeFile(join(folder, 'short'), 'abc', { mode: 0o600 });
        return join(folder, 'short');
      },
    ],
  ])('%s are refused', async (_, make) => {
    const { client, folder, bytes, upload } = await withFolder();
    const secret = join(await tempFolder(), 'secret');
    await writeFile(secret, bytes, { mode: 0o600 });
    upload(await make(secret, folder));
    expect(await client.end('k')).toMatchObject({ code: 'MESSAGE_INVALID', seq: 0 });
    expect(Buffer.compare(await readFile(secret), bytes)).toBe(0);
  });

  test('come over the socket when they cannot be written', async () => {
    const slow = gated(async () => ({
      outputs: { a: { dtype: 'uint8', shape: [300_000], data: new Uint8Array(300_000) } },
    }));
    const defects: unknown[] = [];
    const server = await serverOf({ slow: slow.node }, { onDefect: (e) => defects.push(e) });
    const client = await Client.connect(server);
    const hello = client.received[0]!;
    client.send({
      type: 'execute',
      key: 'k',
      node: 'slow',
      inputs: {},
      tensors: [],
      sharedFiles: true,
    });
    await slow.started;
    await rm('sharedFolder' in hello ? hello.sharedFolder! : '', { recursive: true });
    slow.open();
    await client.end('k');
    expect(client.received.at(-2)).toMatchObject({
      kind: 'tensor',
      payload: Buffer.alloc(300_000),
    });
    expect(defects).toHaveLength(1);
  });
});
