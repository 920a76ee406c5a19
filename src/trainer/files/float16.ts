/**
 * @file float16 (IEEE 754 binary16) and bfloat16 as raw 16-bit words, to and from float32.
 *
 * Everything happens on bit patterns: a NaN that passes through a JavaScript number may lose its payload.
 */

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** float16 words as float32, exactly, NaN payloads included. */
export function float16ToFloat32(words: Uint16Array): Float32Array {
  const out = new Float32Array(words.length);
  const bits = bitsOf(out);
  for (let i = 0; i < words.length; i++) bits[i] = widenFloat16(words[i]!);
  return out;
}

/** float32 as float16 words, rounded to nearest, ties to even; from 65520 up is infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = narrowToFloat16(bits[i]!);
  return out;
}

/** bfloat16 words as float32, exactly: a bfloat16 is the upper half of a float32. */
export function bfloat16ToFloat32(words: Uint16Array): Float32Array {
  const out = new Float32Array(words.length);
  const bits = bitsOf(out);
  for (let i = 0; i < words.length; i++) bits[i] = words[i]! << 16;
  return out;
}

/** float32 as bfloat16 words, rounded to nearest, ties to even. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = narrowToBfloat16(bits[i]!);
  return out;
}

function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  // 112 = 127 - 15, the difference of the exponent biases.
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // Subnormal: mantissa * 2^-24, with its leading one shifted up to become the implicit bit.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    const payload = (magnitude >>> 13) & 0x3ff;
    // A payload only in the lower bits would turn into infinity; the quiet bit keeps it a NaN.
    return sign | 0x7c00 | (payload || 0x200);
  }
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Up to 2^-25, half of the smallest subnormal, rounds to zero.
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + (kept & 1)) >>> shift);
}

function narrowToBfloat16(bits: number): number {
  const upper = bits >>> 16;
  if ((bits & 0x7fffffff) > 0x7f800000) return upper & 0x7f ? upper : upper | 0x40;
  return (bits + 0x7fff + (upper & 1)) >>> 16;
}
