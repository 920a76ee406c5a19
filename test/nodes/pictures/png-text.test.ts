import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { encodePng } from '../../../src/nodes/pictures/picture.ts';
import { isPng, readPngText, withPngText } from '../../../src/nodes/pictures/png-text.ts';

const plain = await encodePng({ width: 3, height: 2, rgb: new Uint8Array(18).fill(77) });
/** Signature and IHDR. */
const HEAD_LENGTH = 33;

/** A chunk written by hand. */
function chunk(type: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(
    [type, ...parts].map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
  );
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(body.length - 4);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function withChunk(extra: Uint8Array): Buffer {
  return Buffer.concat([plain.subarray(0, HEAD_LENGTH), extra, plain.subarray(HEAD_LENGTH)]);
}

const text = fc
  .string({ unit: 'grapheme', maxLength: 200 })
  .filter((value) => !value.includes('\0') && Buffer.from(value).toString() === value);
const keyword = fc.stringMatching(/^[!-~][ -~]{0,40}[!-~]$/);

describe('texts in a PNG', () => {
  test('come back as they were written, and the picture stays the same', async () => {
    const pixels = await sharp(plain).raw().toBuffer();
    await fc.assert(
      fc.asyncProperty(fc.dictionary(keyword, text, { maxKeys: 4 }), async (texts) => {
        const png = withPngText(plain, texts);
        expect(Object.fromEntries(readPngText(png))).toEqual({ ...texts });
        expect(await sharp(png).raw().toBuffer()).toEqual(pixels);
      }),
      { numRuns: 50, seed: 3 },
    );
  });

  test('are found by another reader', async () => {
    const png = withPngText(plain, { prompt: '{"a": 1}', workflow: 'zwei' });
    expect((await sharp(png).metadata()).comments).toEqual([
      { keyword: 'prompt', text: '{"a": 1}' },
      { keyword: 'workflow', text: 'zwei' },
    ]);
    const wide = withPngText(plain, { title: 'шаг 一' });
    expect((await sharp(wide).metadata()).comments).toEqual([{ keyword: 'title', text: 'шаг 一' }]);
  });

  test('are tEXt where Latin-1 is enough', () => {
    expect(Buffer.from(withPngText(plain, { a: 'é' })).includes('tEXta\0é', 0, 'latin1')).toBe(
      true,
    );
    expect(Buffer.from(withPngText(plain, { a: '一' })).includes('iTXta\0')).toBe(true);
  });

  test('replace those under the same keyword and no others', () => {
    const first = withPngText(plain, { prompt: 'old', title: 'kept', workflow: '一' });
    const second = withPngText(first, { prompt: 'new', workflow: 'two' });
    expect(Object.fromEntries(readPngText(second))).toEqual({
      prompt: 'new',
      workflow: 'two',
      title: 'kept',
    });
    expect(Buffer.from(second).includes('old')).toBe(false);
  });

  test.each<[string, Uint8Array, string]>([
    ['zTXt', chunk('zTXt', 'k\0\0', deflateSync(Buffer.from('caf\xe9', 'latin1'))), 'café'],
    ['iTXt', chunk('iTXt', 'k\0\0\0de\0Titel\0', Buffer.from('шаг')), 'шаг'],
    ['compressed iTXt', chunk('iTXt', 'k\0\x01\0\0\0', deflateSync(Buffer.from('一'))), '一'],
  ])('are read from %s as well', (_, extra, expected) => {
    expect(readPngText(withChunk(extra)).get('k')).toBe(expected);
  });

  test.each(['', ' a', 'a ', 'a\nb', '一', 'k'.repeat(80)])('have no keyword %j', (name) => {
    expect(() => withPngText(plain, { [name]: 'x' })).toThrow(/is no keyword/);
  });

  test('hold no zero byte', () => {
    expect(() => withPngText(plain, { a: 'x\0y' })).toThrow(/zero byte/);
  });
});

describe('a damaged PNG', () => {
  const texted = withPngText(plain, { prompt: 'some text' });
  const flipped = Buffer.from(texted);
  flipped[HEAD_LENGTH + 12]! ^= 1;

  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /first bytes/],
    ['another format', Buffer.from('GIF89a.............'), /first bytes/],
    ['a cut in a chunk', texted.subarray(0, HEAD_LENGTH + 10), /cut off|behind the end/],
    ['a missing end', texted.subarray(0, texted.length - 12), /is cut off at byte/],
    ['a flipped bit', flipped, /chunk "tEXt" at byte 33 has a wrong checksum/],
    ['no header', Buffer.concat([plain.subarray(0, 8), chunk('IEND')]), /before IHDR/],
    ['a text without keyword', withChunk(chunk('tEXt', 'abc')), /"tEXt" at byte 33 lacks a zero/],
    ['an unknown compression', withChunk(chunk('zTXt', 'k\0\x07abc')), /unknown method/],
    ['broken compression', withChunk(chunk('zTXt', 'k\0\0abc')), /cannot be decompressed/],
    ['wrong UTF-8', withChunk(chunk('iTXt', 'k\0\0\0\0\0\xff\xfe')), /is not UTF-8/],
  ])('with %s is refused by what is wrong', (_, png, message) => {
    expect(() => readPngText(png)).toThrow(message);
    expect(() => readPngText(png)).toThrow(expect.objectContaining({ code: 'FILE_FORMAT' }));
  });

  test('a text that grows without measure is refused', () => {
    const bomb = chunk('zTXt', 'k\0\0', deflateSync(Buffer.alloc(65 * 2 ** 20)));
    expect(() => readPngText(withChunk(bomb))).toThrow(/cannot be decompressed/);
  });

  test('gives nothing but a coded error, whatever the bytes', () => {
    const mangled = fc.tuple(fc.nat(texted.length - 1), fc.uint8Array({ maxLength: 30 }));
    fc.assert(
      fc.property(mangled, ([at, bytes]) => {
        const png = Buffer.concat([texted.subarray(0, at), bytes, texted.subarray(at + 3)]);
        try {
          readPngText(png);
        } catch (error) {
          expect(error).toBeInstanceOf(FlowstepError);
        }
      }),
      { seed: 5 },
    );
  });

  test('is told from other files by its first bytes', () => {
    expect(isPng(plain)).toBe(true);
    expect(isPng(Buffer.from('{"1": {}}'))).toBe(false);
  });
});
