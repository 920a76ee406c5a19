/** Executions over a real socket: what a client sees from hello to result. */
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../src/errors.ts';
import { Client, echo, forever, gated, serverOf } from './support.ts';

describe('an execution', () => {
  test('tells what is counted where it is no step of a training', async () => {
    const rate = { stepsPerSecond: 4, etaSeconds: 5 };
    const server = await serverOf({
      node: async (_, events) => {
        events.progress({ step: 1, steps: 20, ...rate, counts: 'reading pictures' });
        return { outputs: {}, blocked: {}, files: [] };
      },
    });
    const client = await Client.connect(server);
    client.execute('k', 'node');
    await client.end('k');
    const progress = { type: 'progress', key: 'k', step: 1, steps: 20, ...rate };
    expect(client.received).toContainEqual({
      ...progress,
      seq: expect.any(Number),
      counts: 'reading pictures',
    });
  });

  test('is accepted, started and answered with what the node gave', async () => {
    const server = await serverOf({
      node: async (_, events) => {
        events.text('half way');
        events.progress({ step: 1, steps: 2, stepsPerSecond: 4, etaSeconds: Number.NaN });
        events.metrics({ step: 1, metrics: { 'loss/online': 0.25, 'loss/bad': Number.NaN } });
        events.preview({
          step: 1,
          mime: 'image/png',
          width: 3,
          height: 2,
          bytes: new Uint8Array([5]),
        });
        return { outputs: { a: { b: [7] } }, blocked: { image: 'no picture' }, files: ['x.png'] };
      },
    });
    const client = await Client.connect(server);
    client.execute('k', 'node');
    await client.end('k');
    expect(client.received.slice(1)).toEqual([
      { type: 'accepted', key: 'k', seq: 1, position: 0 },
      { type: 'started', key: 'k', seq: 2 },
      { type: 'text', key: 'k', seq: 3, text: 'half way' },
      {
        type: 'progress',
        key: 'k',
        seq: 4,
        step: 1,
        steps: 2,
        stepsPerSecond: 4,
        etaSeconds: null,
      },
      {
        type: 'metrics',
        key: 'k',
        seq: 5,
        step: 1,
        metrics: { 'loss/online': 0.25, 'loss/bad': null },
      },
      {
        kind: 'preview',
        key: 'k',
        seq: 6,
        step: 1,
        mime: 'image/png',
        width: 3,
        height: 2,
        payload: Buffer.from([5]),
      },
      {
        type: 'result',
        key: 'k',
        seq: 7,
        outputs: { a: { b: [7] } },
        blocked: { image: 'no picture' },
        files: ['x.png'],
        tensors: [],
      },
    ]);
  });

  test('that fails tells code, hint, node and field', async () => {
    const server = await serverOf({
      node: async () => {
        throw new FlowstepError('MODEL_INVALID', 'no such layer', {
          hint: 'take another',
          node: 'Load',
          field: 'file',
          issues: [{ message: 'one', field: 'a' }],
        });
      },
    });
    const client = await Client.connect(server);
    client.execute('k', 'node');
    expect(await client.end('k')).toEqual({
      type: 'error',
      key: 'k',
      seq: 3,
      code: 'MODEL_INVALID',
      message: 'no such layer',
      hint: 'take another',
      node: 'Load',
      field: 'file',
      issues: [{ message: 'one', field: 'a' }],
      retryable: false,
    });
  });

  test('whose outputs cannot be sent ends with an error of our own', async () => {
    const defects: unknown[] = [];
    const server = await serverOf(
      { node: async () => ({ outputs: { big: 10n } }) },
      { onDefect: (error) => defects.push(error) },
    );
    const client = await Client.connect(server);
    client.execute('k', 'node');
    expect(await client.end('k')).toMatchObject({ code: 'INTERNAL', retryable: false });
    expect(defects).toHaveLength(1);
  });

  test('may not have the key of another', async () => {
    const server = await serverOf({ forever });
    const [first, second] = [await Client.connect(server), await Client.connect(server)];
    first.execute('k', 'forever');
    await first.until((m) => 'type' in m && m.type === 'started');
    second.execute('k', 'forever');
    expect(await second.end('k')).toMatchObject({ code: 'EXECUTION_EXISTS', seq: 0 });
    expect(first.kinds('k')).toEqual(['accepted', 'started']);
  });
});

describe('a fingerprint', () => {
  const ask = (client: Client, key: string, node: string, more: object = {}) =>
    client.send({ type: 'fingerprint', key, node, inputs: { file: 'a' }, tensors: [], ...more });

  test('is answered as an execution is, by one output, and the node does not run', async () => {
    let runs = 0;
    const node = async () => {
      runs++;
      return {};
    };
    const client = await Client.connect(await serverOf({ node }));
    ask(client, 'k', 'node');
    const outputs = { fingerprint: 'node of {"file":"a"}' };
    expect(await client.end('k')).toMatchObject({ type: 'result', outputs, files: [] });
    expect(client.kinds('k')).toEqual(['accepted', 'started', 'result']);
    expect(runs).toBe(0);
  });

  test('is left out where there is none', async () => {
    const client = await Client.connect(await serverOf({}));
    ask(client, 'k', 'plain');
    expect(await client.end('k')).toMatchObject({ type: 'result', outputs: {} });
  });

  test('that is asked for wrongly is refused by its key', async () => {
    const client = await Client.connect(await serverOf({}));
    ask(client, 'k', 'node', { input: {} });
    expect(await client.end('k')).toMatchObject({ code: 'MESSAGE_INVALID', seq: 0 });
  });
});

describe('the queue', () => {
  test('runs one at a time, in order, and tells positions as they change', async () => {
    const first = gated();
    const order: string[] = [];
    const server = await serverOf({
      first: first.node,
      next: async ({ inputs }) => {
        order.push(String(inputs['name']));
        return {};
      },
    });
    const [one, two] = [await Client.connect(server), await Client.connect(server)];
    one.execute('a', 'first');
    await first.started;
    one.execute('b', 'next', { name: 'b' });
    await one.until((m) => 'key' in m && m.key === 'b');
    two.execute('c', 'next', { name: 'c' });
    await two.until((m) => 'key' in m && m.key === 'c');
    first.open();
    await Promise.all([one.end('b'), two.end('c')]);
    expect(order).toEqual(['b', 'c']);
    const positions = two.received.flatMap((m) =>
      'type' in m && m.type === 'accepted' ? [m.position] : [],
    );
    expect(positions).toEqual([1, 0]);
    expect(one.kinds('c')).toEqual([]);
  });

  test('refuses more than it can hold, and says that it may be tried again', async () => {
    const server = await serverOf({ forever });
    const client = await Client.connect(server);
    for (let i = 0; i < 66; i++) client.execute(`k${i}`, 'forever');
    expect(await client.end('k65')).toMatchObject({ code: 'QUEUE_FULL', seq: 0, retryable: true });
    expect(server.executions.counts).toEqual({ waiting: 64, running: 1, ended: 0 });
  });
});

describe('cancel', () => {
  test('ends a running execution as INTERRUPTED, however the node fails', async () => {
    const server = await serverOf({ forever });
    const client = await Client.connect(server);
    client.execute('k', 'forever');
    await client.until((m) => 'type' in m && m.type === 'started');
    client.send({ type: 'cancel', key: 'k' });
    expect(await client.end('k')).toMatchObject({ code: 'INTERRUPTED', seq: 3 });
  });

  test('ends a waiting one without running it, and the next moves up', async () => {
    const first = gated();
    const server = await serverOf({ first: first.node, echo });
    const client = await Client.connect(server);
    client.execute('a', 'first');
    client.execute('b', 'echo');
    client.execute('c', 'echo');
    client.send({ type: 'cancel', key: 'b' });
    expect(await client.end('b')).toMatchObject({ code: 'INTERRUPTED' });
    first.open();
    await client.end('c');
    expect(client.kinds('b')).toEqual(['accepted', 'error']);
    expect(client.kinds('c')).toEqual(['accepted', 'accepted', 'started', 'result']);
  });

  test('that comes too late leaves the result', async () => {
    const slow = gated();
    const server = await serverOf({ slow: slow.node });
    const client = await Client.connect(server);
    client.execute('k', 'slow', { x: 1 });
    await slow.started;
    client.send({ type: 'cancel', key: 'k' });
    client.send({ type: 'ping', id: 1 });
    await client.until((m) => 'type' in m && m.type === 'pong');
    slow.open();
    expect(await client.end('k')).toMatchObject({ type: 'result', outputs: { x: 1 } });
  });

  test('of what is not there is refused', async () => {
    const client = await Client.connect(await serverOf({}));
    client.send({ type: 'cancel', key: 'none' });
    expect(await client.end('none')).toMatchObject({ code: 'UNKNOWN_EXECUTION', seq: 0 });
  });
});

describe('done', () => {
  test('lets the server forget, but nothing that has not ended', async () => {
    const slow = gated();
    const server = await serverOf({ slow: slow.node });
    const client = await Client.connect(server);
    client.execute('k', 'slow');
    client.send({ type: 'done', key: 'k' });
    slow.open();
    await client.end('k');
    expect(server.executions.counts.ended).toBe(1);
    client.send({ type: 'done', key: 'k' });
    client.send({ type: 'attach', key: 'k', after: 0 });
    expect(await client.until((m) => 'type' in m && m.type === 'error')).toMatchObject({
      code: 'UNKNOWN_EXECUTION',
      key: 'k',
    });
    expect(server.executions.counts).toEqual({ waiting: 0, running: 0, ended: 0 });
  });
});

test('stopping ends what runs and what waits, and refuses what comes', async () => {
  const server = await serverOf({ forever });
  const client = await Client.connect(server);
  client.execute('a', 'forever');
  client.execute('b', 'forever');
  await client.until((m) => 'key' in m && m.key === 'b');
  const closed = client.closed();
  await server.stop();
  expect(await closed).toEqual({ code: 1001, reason: 'SERVER_STOPPING' });
  expect([client.kinds('a').at(-1), client.kinds('b').at(-1)]).toEqual(['error', 'error']);
});
