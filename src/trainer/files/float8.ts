/** @file float8 as bytes, to float32: the two types of the OCP 8-bit floating point specification, as PyTorch has them. */

export type Float8Format = 'e4m3' | 'e5m2';

/** Values of all 256 bytes. */
const TABLES: Readonly<Record<Float8Format, Float32Array>> = {
  e4m3: tabulate(3, 7),
  e5m2: tabulate(2, 15),
};

/** Bytes as float32, exactly. `e4m3` has no infinity: its largest number is 448 (PyTorch's `float8_e4m3fn`). */
export function float8ToFloat32(bytes: Uint8Array, format: Float8Format): Float32Array {
  const table = TABLES[format];
  const out = new Float32Array(bytes.length);
  for (let i = 0; i < out.length; i++) out[i] = table[bytes[i]!]!;
  return out;
}

function tabulate(mantissaBits: number, bias: number): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const magnitude = byte & 0x7f;
    const exponent = magnitude >> mantissaBits;
    const mantissa = (magnitude & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
    const sign = byte & 0x80 ? -1 : 1;
    if (mantissaBits === 3 && magnitude === 0x7f) return Number.NaN;
    if (mantissaBits === 2 && exponent === 0x1f) {
      return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    }
    return exponent === 0
      ? sign * mantissa * 2 ** (1 - bias)
      : sign * (1 + mantissa) * 2 ** (exponent - bias);
  });
}
