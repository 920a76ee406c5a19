import { describe, expect, test } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../../../src/trainer/files/float16.ts';

const ALL_WORDS = Uint16Array.from({ length: 65536 }, (_, i) => i);

const FORMATS = [
  { name: 'float16', widen: float16ToFloat32, narrow: float32ToFloat16, infinity: 0x7c00 },
  { name: 'bfloat16', widen: bfloat16ToFloat32, narrow: float32ToBfloat16, infinity: 0x7f80 },
];

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

function fromBits(...bits: number[]): Float32Array {
  return new Float32Array(Uint32Array.from(bits).buffer);
}

describe.each(FORMATS)('$name', ({ widen, narrow, infinity }) => {
  test('all 65536 words, NaN included, survive the way to float32 and back', () => {
    expect(narrow(widen(ALL_WORDS))).toEqual(ALL_WORDS);
  });

  test('values grow with their words up to infinity', () => {
    const values = widen(ALL_WORDS.subarray(0, infinity + 1));
    expect(values[0]).toBe(0);
    expect(values.at(-1)).toBe(Infinity);
    expect(values.every((v, i) => i === 0 || v > values[i - 1]!)).toBe(true);
  });

  test('between any two neighbours the nearer is taken, and of two equally near the even', () => {
    const values = widen(ALL_WORDS.subarray(0, infinity));
    const inputs: number[] = [];
    const expected: number[] = [];
    for (let word = 0; word + 1 < infinity; word++) {
      const middle = bitsOf((values[word]! + values[word + 1]!) / 2);
      inputs.push(middle - 1, middle, middle + 1);
      expected.push(word, word + (word & 1), word + 1);
    }
    const positive = new Float32Array(Uint32Array.from(inputs).buffer);
    expect(narrow(positive)).toEqual(Uint16Array.from(expected));
    expect(narrow(positive.map((v) => -v))).toEqual(Uint16Array.from(expected, (w) => w | 0x8000));
  });

  test('a NaN stays a NaN when the bits that are kept are zero', () => {
    const [quiet, negative] = narrow(fromBits(0x7f800001, 0xff800001));
    expect(widen(Uint16Array.of(quiet!, negative!))).toEqual(Float32Array.of(NaN, NaN));
    expect(negative! & 0x8000).toBe(0x8000);
  });

  test('a part of an array is converted alone', () => {
    expect(widen(narrow(Float32Array.of(1, -2, 3).subarray(1)))).toEqual(Float32Array.of(-2, 3));
  });
});

test.each([
  { value: 1.5, float16: 0x3e00, bfloat16: 0x3fc0 },
  { value: -2, float16: 0xc000, bfloat16: 0xc000 },
  { value: -0, float16: 0x8000, bfloat16: 0x8000 },
  { value: 65504, float16: 0x7bff, bfloat16: 0x4780 },
  { value: 65519.99, float16: 0x7bff, bfloat16: 0x4780 },
  { value: 65520, float16: 0x7c00, bfloat16: 0x4780 },
  { value: 3.4e38, float16: 0x7c00, bfloat16: 0x7f80 },
  { value: -Infinity, float16: 0xfc00, bfloat16: 0xff80 },
  { value: 2 ** -24, float16: 1, bfloat16: 0x3380 },
  { value: 2 ** -25, float16: 0, bfloat16: 0x3300 },
  { value: 2 ** -14, float16: 0x400, bfloat16: 0x3880 },
  { value: 1e-40, float16: 0, bfloat16: 1 },
])('$value is $float16 and $bfloat16', ({ value, float16, bfloat16 }) => {
  expect(float32ToFloat16(Float32Array.of(value))[0]).toBe(float16);
  expect(float32ToBfloat16(Float32Array.of(value))[0]).toBe(bfloat16);
});
