/** A connection that breaks anywhere loses nothing: an execution belongs to its key, not to its socket. */
import { describe, expect, test } from 'vitest';
import type { NodeEvents } from '../../src/bridge/protocol/node-host.ts';
import { Client, forever, gated, nameOf, type Play, type Received, serverOf } from './support.ts';

/** Waits for the test before each thing that it tells, so that no run differs from another. */
function stepwise() {
  const steps: ((events: NodeEvents) => void)[] = [
    (events) => events.text('begins'),
    (events) => events.progress({ step: 1, steps: 2, stepsPerSecond: 1, etaSeconds: 1 }),
    (events) => events.metrics({ step: 1, metrics: { 'loss/a': 0.5 } }),
    (events) =>
      events.preview({ step: 1, mime: 'image/png', width: 1, height: 1, bytes: Buffer.from('P') }),
    (events) => events.text('ends'),
  ];
  let next = (): void => undefined;
  const node: Play = async ({ inputs }, events) => {
    for (const step of steps) {
      await new Promise<void>((resolve) => {
        next = resolve;
      });
      step(events);
    }
    await new Promise<void>((resolve) => {
      next = resolve;
    });
    return { outputs: { latent: { samples: inputs['x'] } }, files: ['a.png'] };
  };
  return { node, go: () => next() };
}

const TENSORS = [{ name: 'x', dtype: 'uint8', shape: [3] }];

function send(client: Client): void {
  client.execute('k', 'node', { x: { $tensor: 'x' } }, { tensors: TENSORS });
  client.sendFrame({ kind: 'tensor', key: 'k', name: 'x', offset: 0 }, Buffer.from('abc'));
}

/** What has a seq, by it. */
function merge(clients: readonly Client[]): Map<number, Received> {
  const bySeq = new Map<number, Received>();
  for (const message of clients.flatMap((client) => client.received)) {
    if (!('seq' in message) || message.seq === undefined) continue;
    expect(bySeq.has(message.seq), `${nameOf(message)} came twice`).toBe(false);
    bySeq.set(message.seq, message);
  }
  return bySeq;
}

const RUN = ['accepted', 'started', 'text', 'progress', 'metrics', 'preview', 'text', 'result'];

describe('a connection that is cut', () => {
  // Before anything came, and after each of the eight messages of the run.
  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
    'after message %i of a run loses nothing and doubles nothing',
    async (cutAfter) => {
      const { node, go } = stepwise();
      const server = await serverOf({ node });
      const first = await Client.connect(server);
      let reader = first;
      send(first);
      for (let seq = 1; seq <= RUN.length; seq++) {
        // The node goes on whoever listens.
        if (seq > 2) go();
        await reader.until((m) => 'seq' in m && m.seq === seq);
        if (seq !== Math.max(cutAfter, 1)) continue;
        await first.cut();
        // What came after it was never read.
        const read = first.received.findIndex((m) => 'seq' in m && Number(m.seq) > cutAfter);
        if (read >= 0) first.received.splice(read);
        reader = await Client.connect(server);
        reader.send({ type: 'attach', key: 'k', after: cutAfter });
        if (seq === RUN.length) break;
      }
      reader.send({ type: 'ping', id: 'last' });
      await reader.until((m) => nameOf(m) === 'pong');
      const run = merge([first, reader]);
      expect([...run.keys()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect([...run.values()].map(nameOf)).toEqual(RUN);
      expect(run.get(RUN.length)).toMatchObject({
        outputs: { latent: { samples: { $tensor: 't0' } } },
        files: ['a.png'],
      });
      const frames = [first, reader].flatMap((client) =>
        client.received.filter((m) => nameOf(m) === 'tensor'),
      );
      expect(frames).toMatchObject([{ name: 't0', payload: Buffer.from('abc') }]);
    },
  );

  test('after the end may have the end again, until it says done', async () => {
    const server = await serverOf({ node: async ({ inputs }) => ({ outputs: { ...inputs } }) });
    const first = await Client.connect(server);
    send(first);
    await first.end('k');
    await first.cut();
    const second = await Client.connect(server);
    second.send({ type: 'attach', key: 'k', after: 2 });
    await second.end('k');
    expect(second.kinds('k')).toEqual(['tensor', 'result']);
  });

  test('while the run goes on gets the latest of each kind, in order', async () => {
    const { node, go } = stepwise();
    const server = await serverOf({ node });
    const first = await Client.connect(server);
    send(first);
    await first.until((m) => nameOf(m) === 'started');
    await first.cut();
    for (let step = 0; step < 6; step++) {
      go();
      await new Promise(setImmediate);
    }
    const second = await Client.connect(server);
    second.send({ type: 'attach', key: 'k', after: 2 });
    await second.end('k');
    expect(second.kinds('k')).toEqual([...RUN.slice(2, 7), 'tensor', 'result']);
  });

  test('before all tensors came leaves nothing: the client executes again under its key', async () => {
    const server = await serverOf({ node: async () => ({}) });
    const first = await Client.connect(server);
    first.execute('k', 'node', { x: { $tensor: 'x' } }, { tensors: TENSORS });
    first.send({ type: 'ping', id: 1 });
    await first.until((m) => nameOf(m) === 'pong');
    await first.cut();
    const second = await Client.connect(server);
    second.send({ type: 'attach', key: 'k', after: 0 });
    expect(await second.end('k')).toMatchObject({ code: 'UNKNOWN_EXECUTION', seq: 0 });
    send(second);
    await second.until((m) => nameOf(m) === 'result');
  });
});

describe('two clients', () => {
  test('each hear of their own executions only', async () => {
    const server = await serverOf({ node: async ({ inputs }) => ({ outputs: { ...inputs } }) });
    const [one, two] = [await Client.connect(server), await Client.connect(server)];
    for (let i = 0; i < 5; i++) {
      one.execute(`one-${i}`, 'node', { i });
      two.execute(`two-${i}`, 'node', { i });
    }
    await Promise.all([one.end('one-4'), two.end('two-4')]);
    for (const [client, name] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      const keys = new Set(client.received.flatMap((m) => ('key' in m ? [m.key] : [])));
      expect([...keys]).toEqual([0, 1, 2, 3, 4].map((i) => `${name}-${i}`));
    }
  });

  test('of which the second attaches to the first one’s execution: only that one moves', async () => {
    const slow = gated();
    const server = await serverOf({ slow: slow.node, forever });
    const [one, two] = [await Client.connect(server), await Client.connect(server)];
    one.execute('moved', 'slow');
    one.execute('kept', 'forever');
    await slow.started;
    two.send({ type: 'attach', key: 'moved', after: 0 });
    await two.until((m) => nameOf(m) === 'started');
    slow.open();
    await two.end('moved');
    await one.until((m) => 'key' in m && m.key === 'kept' && nameOf(m) === 'started');
    expect(one.kinds('moved')).toEqual(['accepted', 'started']);
  });
});

describe('an execution to which nobody is attached', () => {
  test('is cancelled when the grace time is over, and its end is kept', async () => {
    let cancelled = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    const server = await serverOf(
      {
        node: ({ signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reject(new Error('stopped'));
              cancelled();
            });
          }),
      },
      { graceMs: 20 },
    );
    const first = await Client.connect(server);
    first.execute('k', 'node');
    await first.until((m) => nameOf(m) === 'started');
    await first.cut();
    await ended;
    const second = await Client.connect(server);
    second.send({ type: 'attach', key: 'k', after: 2 });
    expect(await second.end('k')).toMatchObject({ code: 'INTERRUPTED', seq: 3 });
  });

  test('begins its grace time when the client does not answer, though the socket seems open', async () => {
    const server = await serverOf({ forever }, { heartbeatMs: 15, graceMs: 1 });
    const silent = await Client.connect(server, { autoPong: false });
    const awake = await Client.connect(server);
    const closed = silent.closed();
    silent.execute('k', 'forever');
    awake.execute('l', 'forever');
    expect((await closed).code).toBe(1006);
    await awake.until((m) => 'key' in m && m.key === 'l' && nameOf(m) === 'started');
    awake.send({ type: 'attach', key: 'k', after: 0 });
    expect(await awake.end('k')).toMatchObject({ code: 'INTERRUPTED' });
  });
});
