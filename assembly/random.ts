/**
 * @file Random words and normal numbers, several at once: AssemblyScript, which `npm run build:random` compiles to WebAssembly.
 * src/trainer/random says what they are; the arithmetic is that of double precision there, in the same order.
 */

const ROUNDS = 10;
const M0 = <i32>0xd2511f53;
const M1 = <i32>0xcd9e8d57;

/** The upper 32 bits of the products of words. */
@inline
function high(a: v128, b: v128): v128 {
  const first = i64x2.extmul_low_i32x4_u(a, b);
  const last = i64x2.extmul_high_i32x4_u(a, b);
  return i8x16.shuffle(first, last, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/**
 * Philox4x32-10: writes `blocks` (a multiple of four) blocks of four words to `to`, those of the counters (c0, c1, c2, c3),
 * (c0 + 1, c1, c2, c3) and so on under the key (k0, k1). Each lane works on a block of its own.
 */
export function words(
  to: usize,
  blocks: i32,
  c0: i32,
  c1: i32,
  c2: i32,
  c3: i32,
  k0: i32,
  k1: i32,
): void {
  const m0 = i32x4.splat(M0);
  const m1 = i32x4.splat(M1);
  for (let block = 0; block < blocks; block += 4) {
    let x0 = i32x4.add(i32x4.splat(c0 + block), i32x4(0, 1, 2, 3));
    let x1 = i32x4.splat(c1);
    let x2 = i32x4.splat(c2);
    let x3 = i32x4.splat(c3);
    let key0 = k0;
    let key1 = k1;
    for (let round = 0; round < ROUNDS; round++) {
      const low0 = i32x4.mul(m0, x0);
      const low1 = i32x4.mul(m1, x2);
      const high0 = high(m0, x0);
      const high1 = high(m1, x2);
      x0 = v128.xor(v128.xor(high1, x1), i32x4.splat(key0));
      x1 = low1;
      x2 = v128.xor(v128.xor(high0, x3), i32x4.splat(key1));
      x3 = low0;
      key0 += <i32>0x9e3779b9;
      key1 += <i32>0xbb67ae85;
    }
    // Lanes are blocks; the words of a block are to follow each other.
    const a = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
    const b = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
    const c = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
    const d = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
    const at = to + <usize>(block * 16);
    v128.store(at, i64x2.shuffle(a, b, 0, 2));
    v128.store(at, i64x2.shuffle(a, b, 1, 3), 16);
    v128.store(at, i64x2.shuffle(c, d, 0, 2), 32);
    v128.store(at, i64x2.shuffle(c, d, 1, 3), 48);
  }
}

/** A step of Horner's scheme. */
@inline
function step(sum: v128, r: v128, coefficient: f64): v128 {
  return f64x2.add(f64x2.mul(sum, r), f64x2.splat(coefficient));
}

/**
 * Normal quantiles of `count` (an even number of) words at `from`, as float32 at `to`, by AS 241 as if all lay in the middle
 * of the distribution. Writes the places of those that do not to `tails`, as 16 bits, and returns their number.
 */
export function middle(from: usize, to: usize, tails: usize, count: i32): i32 {
  let found = 0;
  for (let i = 0; i < count; i += 2) {
    const word = f64x2.convert_low_i32x4_u(v128.load64_zero(from + <usize>(i * 4)));
    const q = f64x2.sub(
      f64x2.mul(f64x2.add(word, f64x2.splat(0.5)), f64x2.splat(2.3283064365386963e-10)),
      f64x2.splat(0.5),
    );
    const r = f64x2.sub(f64x2.splat(0.180625), f64x2.mul(q, q));
    let above = f64x2.splat(2509.0809287301227);
    above = step(above, r, 33430.57558358813);
    above = step(above, r, 67265.7709270087);
    above = step(above, r, 45921.95393154987);
    above = step(above, r, 13731.69376550946);
    above = step(above, r, 1971.5909503065513);
    above = step(above, r, 133.14166789178438);
    above = step(above, r, 3.3871328727963665);
    let below = f64x2.splat(5226.495278852854);
    below = step(below, r, 28729.085735721943);
    below = step(below, r, 39307.89580009271);
    below = step(below, r, 21213.794301586597);
    below = step(below, r, 5394.196021424751);
    below = step(below, r, 687.1870074920579);
    below = step(below, r, 42.31333070160091);
    below = step(below, r, 1);
    const quantile = f32x4.demote_f64x2_zero(f64x2.div(f64x2.mul(q, above), below));
    v128.store64_lane(to + <usize>(i * 4), quantile, 0);
    // r is negative in the tails. Written without a branch, which would be guessed wrong at every seventh number.
    const isTail = i64x2.bitmask(r);
    store<u16>(tails + <usize>(found * 2), <u16>i);
    found += isTail & 1;
    store<u16>(tails + <usize>(found * 2), <u16>(i + 1));
    found += isTail >> 1;
  }
  return found;
}
