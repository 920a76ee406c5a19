/** A socket on which bytes flow is alive, however late an answer to a ping comes; one on which nothing moves is cut. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Flow, Pulse } from '../../src/bridge/pulse.ts';
import { HEARTBEAT_MS } from '../../src/bridge/server.ts';
import { selfSigned } from '../support/certificate.ts';
import { Client, type ClientOptions, echo, nameOf, serverOf } from './support.ts';

/** What a look finds: bytes read, bytes given to the socket, and how many of those the system has not taken. */
type Look = readonly [bytesRead: number, bytesWritten: number, writableLength: number];

test.each<[string, Look, Look, boolean]>([
  ['sends a byte', [100, 50, 0], [101, 50, 0], true],
  ['sends nothing', [100, 50, 0], [100, 50, 0], false],
  ['takes a part of what waits', [100, 5000, 3000], [100, 5000, 2999], true],
  ['takes a part while more is added', [100, 5000, 3000], [100, 9000, 6900], true],
  ['takes all that waited', [100, 5000, 3000], [100, 5000, 0], true],
  ['takes nothing of what waits', [100, 5000, 3000], [100, 5000, 3000], false],
  ['takes nothing while more is added', [100, 5000, 3000], [100, 9000, 7000], false],
  ['is told what the system takes at once', [100, 50, 0], [100, 90, 0], false],
  ['takes nothing any more', [100, 50, 0], [100, 5000, 3000], false],
])('an end that %s', (_, first, second, isAlive) => {
  let [bytesRead, bytesWritten, writableLength] = first;
  const flow: Flow = {
    get bytesRead() {
      return bytesRead;
    },
    get bytesWritten() {
      return bytesWritten;
    },
    get writableLength() {
      return writableLength;
    },
  };
  const pulse = new Pulse(flow);
  expect(pulse.beats()).toBe(true);
  [bytesRead, bytesWritten, writableLength] = second;
  expect(pulse.beats()).toBe(isAlive);
});

/** Heartbeats that a transfer takes; a socket is cut at the second that finds nothing. */
const BEATS = 4;

/** More than the system holds of a connection, so that the server sends on when it has been taken. */
const TAKEN_BYTES = 12 * 1024 * 1024;

/** None of the clients answers pings, as an answer that comes too late. */
const SILENT = { autoPong: false };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The server looks at its sockets, after it has read what has come. */
async function heartbeat(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
  vi.advanceTimersByTime(HEARTBEAT_MS);
}

describe.each<[string, () => Promise<{ server: object; client: ClientOptions }>]>([
  ['TCP', async () => ({ server: {}, client: {} })],
  [
    'TLS',
    async () => {
      const tls = await selfSigned();
      return { server: { tls }, client: { ca: tls.cert } };
    },
  ],
])('over %s', (_, options) => {
  test('a message that takes longer than the heartbeat arrives', async () => {
    const own = await options();
    const server = await serverOf({ echo }, own.server);
    const client = await Client.connect(server, { ...own.client, ...SILENT });
    const message = { type: 'execute', key: 'k', node: 'echo', inputs: {}, tensors: [] };
    const text = JSON.stringify(message);
    for (let sent = 0; sent < BEATS; sent++) {
      client.socket.send(text.charAt(sent), { binary: false, fin: false });
      await heartbeat();
    }
    client.socket.send(text.slice(BEATS));
    expect(await client.end('k')).toMatchObject({ type: 'result' });
  });

  test('a result that is taken slowly arrives', async () => {
    const data = new Float32Array((TAKEN_BYTES / 4) * (BEATS + 2));
    data.fill(0.5, -1);
    const x = { dtype: 'float32', shape: [data.length], data } as const;
    const own = await options();
    const server = await serverOf({ large: async () => ({ outputs: { x } }) }, own.server);
    const client = await Client.connect(server, { ...own.client, ...SILENT });
    client.execute('k', 'large');
    for (let beat = 1; beat <= BEATS; beat++) {
      await client.until(() => bytesOf(client) >= beat * TAKEN_BYTES);
      client.socket.pause();
      await heartbeat();
      client.socket.resume();
    }
    expect(await client.end('k')).toMatchObject({ type: 'result' });
    expect(bytesOf(client)).toBe(data.byteLength);
  });
});

/** Bytes of tensors that have come. */
function bytesOf({ received }: Client): number {
  return received.reduce((sum, m) => sum + ('payload' in m ? m.payload.length : 0), 0);
}

test.each([
  ['for whom large pictures wait', 16 * 1024 * 1024],
  ['who is told things all the time', 1000],
])('a client that takes nothing and %s is cut', async (_, length) => {
  const picture = {
    mime: 'image/png',
    width: 1,
    height: 1,
    bytes: new Uint8Array(length),
  } as const;
  const server = await serverOf(
    {
      tells: async ({ signal }, events) => {
        for (let step = 1; !signal.aborted; step++) {
          events.preview({ step, ...picture });
          await new Promise(setImmediate);
        }
        throw new Error('stopped');
      },
    },
    { graceMs: 1 },
  );
  const silent = await Client.connect(server, SILENT);
  silent.execute('k', 'tells');
  await silent.until((m) => nameOf(m) === 'started');
  silent.socket.pause();
  for (let beat = 1; beat <= BEATS; beat++) await heartbeat();
  const awake = await Client.connect(server);
  while (server.executions.counts.ended === 0) await new Promise(setImmediate);
  awake.send({ type: 'attach', key: 'k', after: 0 });
  expect(await awake.end('k')).toMatchObject({ code: 'INTERRUPTED' });
});
