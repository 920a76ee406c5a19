/** Ten thousand frames of any kind, and rounds of work: the server stays up and gives back what it took. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { encodeFrame, type FrameHeader } from '../../src/bridge/protocol/frame.ts';
import { Client, echo, forever, nameOf, serverOf } from './support.ts';

const key = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', '..', '');
const name = fc.constantFrom('x', 'y', '__proto__', 'toString');

/** Messages that are nearly right, with wrong members among them. */
const message = fc
  .record({
    type: fc.constantFrom('execute', 'attach', 'cancel', 'done', 'ping', 'pong', 'hello', 'result'),
    key,
    node: fc.constantFrom('echo', 'forever', 'none', 'fails'),
    inputs: fc.dictionary(
      fc.string({ maxLength: 5 }),
      fc.oneof(
        fc.jsonValue({ maxDepth: 3 }),
        name.map((n) => ({ $tensor: n })),
      ),
    ),
    tensors: fc.array(
      fc.record({
        name,
        dtype: fc.constantFrom('float32', 'uint8', 'int64', 'none'),
        shape: fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 3 }),
      }),
      { maxLength: 2 },
    ),
    after: fc.integer({ min: -1, max: 9 }),
    id: fc.integer(),
    protocol: fc.constant(1),
  })
  .chain((all) => {
    const members: Record<string, readonly string[]> = {
      execute: ['type', 'key', 'node', 'inputs', 'tensors'],
      attach: ['type', 'key', 'after'],
      cancel: ['type', 'key'],
      done: ['type', 'key'],
      ping: ['type', 'id'],
      pong: ['type', 'id'],
    };
    const wanted = members[all.type] ?? Object.keys(all);
    const right = Object.fromEntries(Object.entries(all).filter(([k]) => wanted.includes(k)));
    return fc.constantFrom(right, right, right, all);
  })
  .map((value) => JSON.stringify(value));

const frame = fc
  .tuple(
    fc.record({
      kind: fc.constantFrom('tensor', 'preview'),
      key,
      name,
      offset: fc.integer({ min: -1, max: 20 }),
    }),
    fc.uint8Array({ maxLength: 32 }),
  )
  .map(([header, payload]) => Buffer.from(encodeFrame(header as FrameHeader, payload)));

const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ maxLength: 64 }),
  fc.json({ maxDepth: 3 }),
);

test('10,000 fuzzed messages leave a server that works', async () => {
  const server = await serverOf({
    echo,
    forever,
    fails: async () => {
      throw new Error('a defect');
    },
  });
  const all = fc.sample(fc.oneof(message, message, frame, frame, garbage), {
    seed: 42,
    numRuns: 10_000,
  });
  let client = await Client.connect(server);
  let sockets = 1;
  for (const [index, data] of all.entries()) {
    // A message that breaks the rules of its socket closes it; the next goes on with another.
    if (client.socket.readyState !== WebSocket.OPEN) {
      client = await Client.connect(server);
      sockets++;
    }
    client.socket.send(data);
    if (index % 500 === 499) {
      client.send({ type: 'ping', id: `at ${index}` });
      await client
        .until((m) => 'id' in m && m.id === `at ${index}`)
        .catch(() => expect(client.socket.readyState).toBe(WebSocket.CLOSED));
    }
  }
  expect(sockets).toBeLessThan(500);
  const kinds = new Set(client.received.map(nameOf));
  expect(kinds).toContain('error');
  const other = await Client.connect(server);
  for (const key of ['a', 'b', 'c', '__proto__', 'constructor', '..']) {
    other.send({ type: 'cancel', key });
  }
  other.execute('after-all', 'echo', { x: 1 });
  expect(await other.end('after-all')).toMatchObject({ type: 'result', outputs: { x: 1 } });
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('three rounds of executions leave nothing behind', async () => {
  const server = await serverOf({ echo });
  const heap: number[] = [];
  for (let round = 0; round < 4; round++) {
    const client = await Client.connect(server);
    for (let i = 0; i < 30; i++) {
      const name = `round-${round}-${i}`;
      const tensors = [{ name: 'x', dtype: 'uint8', shape: [100_000] }];
      client.execute(name, 'echo', { x: { $tensor: 'x' } }, { tensors });
      client.sendFrame(
        { kind: 'tensor', key: name, name: 'x', offset: 0 },
        new Uint8Array(100_000),
      );
      await client.end(name);
      client.send({ type: 'done', key: name });
    }
    client.send({ type: 'ping', id: 'end' });
    await client.until((m) => nameOf(m) === 'pong');
    await client.cut();
    expect(server.executions.counts).toEqual({ waiting: 0, running: 0, ended: 0 });
    for (let times = 0; times < 5; times++) {
      await new Promise(setImmediate);
      collect();
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    heap.push(heapUsed + arrayBuffers);
  }
  // The first round compiles and fills caches.
  expect(Math.abs(heap[3]! - heap[1]!)).toBeLessThan(2_000_000);
});
