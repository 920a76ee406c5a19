/** A client that does not read loses previews and old numbers, never a notice or the end. */
import { describe, expect, test } from 'vitest';
import { Outbox, type OutgoingSocket } from '../../src/bridge/session/outbox.ts';
import { Client, nameOf, serverOf } from './support.ts';

/** A socket that takes what it is given only when the test says so. */
function blockedSocket() {
  const taken: string[] = [];
  const closed: number[] = [];
  let pending: (() => void)[] = [];
  const socket: OutgoingSocket & { bufferedAmount: number } = {
    bufferedAmount: 0,
    send(data, _, sent) {
      taken.push(String(data));
      socket.bufferedAmount += data.length;
      pending.push(() => {
        socket.bufferedAmount -= data.length;
        sent();
      });
    },
    close: (code) => closed.push(code),
  };
  const drain = () => {
    while (pending.length > 0) {
      const all = pending;
      pending = [];
      for (const sent of all) sent();
    }
  };
  return { socket, taken, closed, drain };
}

const FULL = 'x'.repeat(1024 * 1024);

describe('the outbox', () => {
  test('keeps only the newest of a name while the socket is full, behind what came before it', () => {
    const { socket, taken, drain } = blockedSocket();
    const outbox = new Outbox(socket, () => undefined);
    outbox.push({ parts: [FULL] });
    outbox.push({ parts: ['preview 1'], name: 'preview' });
    outbox.push({ parts: ['text 2'] });
    outbox.push({ parts: ['preview 3'], name: 'preview' });
    outbox.push({ parts: ['other 4'], name: 'other' });
    outbox.push({ parts: ['result 5'] });
    expect(taken).toEqual([FULL]);
    drain();
    expect(taken.slice(1)).toEqual(['text 2', 'preview 3', 'other 4', 'result 5']);
  });

  test('sends at once while the socket is free', () => {
    const { socket, taken } = blockedSocket();
    const outbox = new Outbox(socket, () => undefined);
    for (const text of ['a', 'b', 'c']) outbox.push({ parts: [text], name: 'same' });
    expect(taken).toEqual(['a', 'b', 'c']);
  });

  test('closes the socket of a reader that takes nothing at all', () => {
    const { socket, taken, closed, drain } = blockedSocket();
    const outbox = new Outbox(socket, () => undefined);
    outbox.push({ parts: [FULL] });
    for (let i = 0; i <= 10_000; i++) outbox.push({ parts: ['text'] });
    expect(closed).toEqual([1013]);
    expect(outbox.waiting).toBe(0);
    drain();
    outbox.push({ parts: ['late'] });
    expect(taken).toEqual([FULL]);
  });
});

test('a reader that stops reading gets the notices, the latest preview and the result', async () => {
  const PREVIEWS = 200;
  const PREVIEW_BYTES = 1024 * 1024;
  let largest = 0;
  const server = await serverOf({
    node: async (_, events) => {
      const bytes = new Uint8Array(PREVIEW_BYTES);
      for (let step = 1; step <= PREVIEWS; step++) {
        events.preview({ step, mime: 'image/png', width: 1, height: 1, bytes: bytes.slice() });
        if (step % 50 === 0) events.text(`notice ${step}`);
        await new Promise(setImmediate);
        largest = Math.max(largest, process.memoryUsage().arrayBuffers);
      }
      return { files: ['made.png'] };
    },
  });
  const before = process.memoryUsage().arrayBuffers;
  const client = await Client.connect(server);
  client.socket.pause();
  client.execute('k', 'node');
  for (let turns = 0; server.executions.counts.ended === 0; turns++) {
    expect(turns).toBeLessThan(1_000_000);
    await new Promise(setImmediate);
  }
  client.socket.resume();
  expect(await client.end('k')).toMatchObject({ type: 'result', files: ['made.png'] });
  const previews = client.received.filter((m) => nameOf(m) === 'preview');
  const texts = client.received.flatMap((m) => ('type' in m && m.type === 'text' ? [m.text] : []));
  expect(texts).toEqual(['notice 50', 'notice 100', 'notice 150', 'notice 200']);
  expect(previews.length).toBeLessThan(PREVIEWS / 2);
  expect(previews.at(-1)).toMatchObject({ step: PREVIEWS });
  // Sockets of the system hold a few MiB; all previews would be two hundred.
  expect(largest - before).toBeLessThan((PREVIEWS / 2) * PREVIEW_BYTES);
  const seqs = client.received.flatMap((m) => ('seq' in m ? [m.seq ?? 0] : []));
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
});
