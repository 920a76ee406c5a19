import { describe, expect, test } from 'vitest';
import { float8ToFloat32 } from '../../../src/trainer/files/float8.ts';

const value = (byte: number, format: 'e4m3' | 'e5m2') =>
  float8ToFloat32(Uint8Array.of(byte), format)[0]!;

/** Table 1 of the OCP 8-bit floating point specification 1.0, and numbers between. */
test.each([
  ['e4m3', 0x00, 0],
  ['e4m3', 0x01, 2 ** -9],
  ['e4m3', 0x07, 0.875 * 2 ** -6],
  ['e4m3', 0x08, 2 ** -6],
  ['e4m3', 0x38, 1],
  ['e4m3', 0x3d, 1.625],
  ['e4m3', 0xc5, -3.25],
  ['e4m3', 0x7e, 448],
  ['e4m3', 0xfe, -448],
  ['e4m3', 0x7f, Number.NaN],
  ['e4m3', 0xff, Number.NaN],
  ['e5m2', 0x01, 2 ** -16],
  ['e5m2', 0x03, 0.75 * 2 ** -14],
  ['e5m2', 0x04, 2 ** -14],
  ['e5m2', 0x3c, 1],
  ['e5m2', 0xbd, -1.25],
  ['e5m2', 0x7b, 57344],
  ['e5m2', 0x7c, Number.POSITIVE_INFINITY],
  ['e5m2', 0xfc, Number.NEGATIVE_INFINITY],
  ['e5m2', 0x7d, Number.NaN],
] as const)('%s, byte 0x%s is %s', (format, byte, expected) => {
  expect(value(byte, format)).toBe(expected);
});

describe.each(['e4m3', 'e5m2'] as const)('%s', (format) => {
  test('values grow with their bytes, and the upper half is the lower one with a minus', () => {
    const all = float8ToFloat32(
      Uint8Array.from({ length: 256 }, (_, i) => i),
      format,
    );
    const finite = all.subarray(0, format === 'e4m3' ? 0x7f : 0x7c);
    expect(finite.every((v, i) => i === 0 || v > finite[i - 1]!)).toBe(true);
    for (const [i, v] of finite.entries()) expect(all[i + 128]).toBe(-v);
  });
});
