/** The bytes of binary frames and text messages, and whatever else may come. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeClientMessage, decodeServerMessage } from '../../src/bridge/protocol/decode.ts';
import { decodeFrame, encodeFrame, type FrameHeader } from '../../src/bridge/protocol/frame.ts';
import {
  CHUNK_BYTES,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  MAX_PROBLEM_LENGTH,
  MAX_TEXT_BYTES,
} from '../../src/bridge/protocol/limits.ts';
import { ERROR_CODES } from '../../src/errors.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

const key = fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/);
const count = fc.nat();
const header: fc.Arbitrary<FrameHeader> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('tensor' as const),
      key,
      name: fc
        .string({ minLength: 1, maxLength: 64, unit: 'grapheme' })
        .filter((s) => s.length <= 128),
      offset: count,
      shared: fc.record({
        file: fc.string({ minLength: 1, maxLength: 100 }),
        at: fc.nat(1000),
        length: fc.integer({ min: 1, max: 1000 }),
      }),
    },
    { requiredKeys: ['kind', 'key', 'name', 'offset'] },
  ),
  fc.record({
    kind: fc.constant('preview' as const),
    key,
    seq: fc.integer({ min: 1 }),
    step: count,
    mime: fc.string({ maxLength: 100 }),
    width: fc.integer({ min: 1 }),
    height: fc.integer({ min: 1 }),
  }),
);

describe('a frame', () => {
  test('has the bytes that the protocol says', () => {
    const frame = encodeFrame(
      { kind: 'tensor', key: 'k', name: 'x', offset: 5 },
      new Uint8Array([0xfe, 0xff]),
    );
    const json = '{"kind":"tensor","key":"k","name":"x","offset":5}';
    expect(Buffer.from(frame).toString('hex')).toBe(
      `31000000${Buffer.from(json).toString('hex')}feff`,
    );
    expect(json).toHaveLength(0x31);
  });

  test('is read as it was written, wherever in memory it lies', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 200 }), fc.nat(9), (head, payload, shift) => {
        const frame = encodeFrame(head, payload);
        const memory = new Uint8Array(frame.length + shift);
        memory.set(frame, shift);
        const read = decodeFrame(memory.subarray(shift));
        expect(read).toEqual({ ok: true, value: { header: head, payload } });
      }),
      { seed: 5 },
    );
  });

  test('cut anywhere in its header is a problem, never an exception', () => {
    const frame = encodeFrame(
      { kind: 'tensor', key: 'k', name: 'x', offset: 0 },
      new Uint8Array(3),
    );
    for (let length = 0; length < frame.length - 3; length++) {
      expect(decodeFrame(frame.subarray(0, length))).toMatchObject({
        ok: false,
        code: 'MESSAGE_INVALID',
      });
    }
  });

  test.each([
    { name: 'nothing', bytes: '', code: 'MESSAGE_INVALID' },
    { name: 'a header beyond the end', bytes: '05000000' + '7b7d', code: 'MESSAGE_INVALID' },
    { name: 'the longest length', bytes: 'ffffffff' + '7b7d', code: 'MESSAGE_INVALID' },
    { name: 'no JSON', bytes: '02000000' + '7b7b', code: 'MESSAGE_INVALID' },
    { name: 'no UTF-8', bytes: '02000000' + 'c328', code: 'MESSAGE_INVALID' },
    { name: 'a byte order mark', bytes: '05000000' + 'efbbbf7b7d', code: 'MESSAGE_INVALID' },
    { name: 'an empty object', bytes: '02000000' + '7b7d', code: 'MESSAGE_INVALID' },
    { name: 'a list', bytes: '02000000' + '5b5d', code: 'MESSAGE_INVALID' },
  ])('of $name is refused as $code', ({ bytes, code }) => {
    expect(decodeFrame(Buffer.from(bytes, 'hex'))).toMatchObject({ ok: false, code });
  });

  test.each([
    { kind: 'tensor', key: 'k', name: 'x', offset: 0, extra: 1 },
    { kind: 'tensor', key: '../k', name: 'x', offset: 0 },
    { kind: 'tensor', key: 'k', name: '', offset: 0 },
    { kind: 'tensor', key: 'k', name: 'x', offset: -1 },
    { kind: 'tensor', key: 'k', name: 'x', offset: 0.5 },
    { kind: 'other', key: 'k' },
  ])('with the header %j is refused', (head) => {
    const frame = encodeFrame(head as unknown as FrameHeader, new Uint8Array());
    expect(decodeFrame(frame)).toMatchObject({ ok: false, code: 'MESSAGE_INVALID' });
  });

  test('over the limit is refused; the largest chunk with the largest header is not over it', () => {
    expect(decodeFrame(new Uint8Array(MAX_FRAME_BYTES + 1))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    expect(CHUNK_BYTES + MAX_HEADER_BYTES + 4).toBe(MAX_FRAME_BYTES);
  });
});

describe('arbitrary bytes', () => {
  const near = fc
    .tuple(fc.nat(300), fc.json(), fc.uint8Array({ maxLength: 40 }))
    .map(([length, json, rest]) => {
      const text = bytesOf(json);
      const bytes = new Uint8Array(4 + text.length + rest.length);
      new DataView(bytes.buffer).setUint32(0, length % 2 ? text.length : length, true);
      bytes.set(text, 4);
      bytes.set(rest, 4 + text.length);
      return bytes;
    });
  const any = fc.oneof(fc.uint8Array({ maxLength: 300 }), near, fc.json().map(bytesOf));

  test.each([
    ['frames', decodeFrame],
    ['messages of clients', decodeClientMessage],
    ['messages of servers', decodeServerMessage],
  ] as const)('as %s give a message or a coded problem', (_, decode) => {
    fc.assert(
      fc.property(any, (bytes) => {
        const read = decode(bytes);
        if (read.ok) return;
        expect(Object.keys(ERROR_CODES)).toContain(read.code);
        expect(read.message.length).toBeLessThanOrEqual(MAX_PROBLEM_LENGTH);
      }),
      { seed: 11, numRuns: 2000 },
    );
  });
});

describe('a text message', () => {
  const decode = (text: string) => decodeClientMessage(bytesOf(text));

  test('of another version is told apart before its members are looked at', () => {
    expect(decode('{"type":"hello","protocol":2,"tomorrow":true}')).toEqual({
      ok: false,
      code: 'PROTOCOL_VERSION',
      message: 'the other side speaks version 2 of the protocol, this side 1',
    });
  });

  test('with a member that it does not have is refused, and the execution is named', () => {
    expect(
      decode('{"type":"execute","key":"k","node":"n","inputs":{},"tensors":[],"roots":{}}'),
    ).toMatchObject({ ok: false, code: 'MESSAGE_INVALID', key: 'k' });
  });

  test('of lists nested a million deep is refused', () => {
    const deep = '['.repeat(1_000_000) + ']'.repeat(1_000_000);
    expect(decode(deep)).toMatchObject({ ok: false, code: 'MESSAGE_INVALID' });
  });

  test('over the limit is refused unread', () => {
    expect(decodeClientMessage(new Uint8Array(MAX_TEXT_BYTES + 1))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
  });

  test.each(['', 'a/b', '.'.repeat(129), 'a b', 'ä', '\u0000'])('refuses the key %j', (bad) => {
    expect(decode(JSON.stringify({ type: 'cancel', key: bad }))).toMatchObject({ ok: false });
  });
});
