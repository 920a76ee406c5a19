/**
 * @file Points that fill the unit cube more evenly than random ones, and are uniform each: Sobol's sequence with Owen's
 * scrambling. Means over several scramblings are independent and without bias, so their spread gives the error.
 *
 * Direction numbers: Joe & Kuo 2008, "Constructing Sobol sequences with better two-dimensional projections". Scrambling
 * by a hash of the reversed bits: Laine & Karras 2011, with the constants of Burley 2020.
 */
import { bug } from '../../errors.ts';
import { philoxBlocks } from '../random/philox.ts';
import { seedWords } from '../random/seed.ts';
import { STREAMS } from '../random/streams.ts';

const BITS = 32;

/** Polynomial (its inner coefficients as bits) and first odd numbers of each axis after the first. */
const AXES: readonly { readonly inner: number; readonly first: readonly number[] }[] = [
  { inner: 0, first: [1] },
  { inner: 1, first: [1, 3] },
  { inner: 1, first: [1, 3, 1] },
  { inner: 2, first: [1, 1, 1] },
  { inner: 1, first: [1, 1, 3, 3] },
  { inner: 4, first: [1, 3, 5, 13] },
  { inner: 2, first: [1, 1, 5, 5, 17] },
  { inner: 4, first: [1, 1, 5, 5, 5] },
];

/** Most numbers of a point. */
export const MOST_AXES = AXES.length + 1;

/** Words of a block of the generator. */
const BLOCK = 4;

export class QuasiRandom {
  readonly #keys: Uint32Array;

  /** Points of up to MOST_AXES numbers; `scrambling` tells independent sequences of one seed apart. */
  constructor(seed: number, scrambling: number) {
    const [low, high] = seedWords(seed);
    const blocks = 2 * Math.ceil(MOST_AXES / (2 * BLOCK));
    this.#keys = new Uint32Array(blocks * BLOCK);
    philoxBlocks(this.#keys, blocks, 0, scrambling, STREAMS.theory, 0, low, high);
  }

  /** Number `axis` of point `n` as a word, of which 2^32 make 1. */
  word(n: number, axis: number): number {
    const numbers = DIRECTIONS[axis];
    if (!numbers) throw bug(`a point has no number ${axis}`);
    let word = 0;
    for (let bit = 0, rest = n; rest > 0; bit++, rest >>>= 1) {
      if (rest & 1) word ^= numbers[bit]!;
    }
    return scrambled(word, this.#keys[axis]!);
  }

  /** The same in (0, 1). */
  at(n: number, axis: number): number {
    return (this.word(n, axis) + 0.5) * 2 ** -BITS;
  }
}

const DIRECTIONS: readonly Uint32Array[] = [
  Uint32Array.from({ length: BITS }, (_, bit) => 2 ** (BITS - 1 - bit)),
  ...AXES.map(({ inner, first }) => directions(inner, first)),
];

/** Direction numbers of one axis, by the recurrence of its polynomial. */
function directions(inner: number, first: readonly number[]): Uint32Array {
  const degree = first.length;
  const out = new Uint32Array(BITS);
  for (let i = 0; i < BITS; i++) {
    if (i < degree) {
      out[i] = first[i]! << (BITS - 1 - i);
      continue;
    }
    let next = out[i - degree]! ^ (out[i - degree]! >>> degree);
    for (let k = 1; k < degree; k++) {
      if ((inner >>> (degree - 1 - k)) & 1) next ^= out[i - k]!;
    }
    out[i] = next;
  }
  return out;
}

/** Owen's scrambling: each bit is flipped or not as a hash of the bits above it says. */
function scrambled(word: number, key: number): number {
  let x = (reversed(word) + key) | 0;
  x ^= Math.imul(x, 0x6c50b47c);
  x ^= Math.imul(x, 0xb82f1e52);
  x ^= Math.imul(x, 0xc7afe638);
  x ^= Math.imul(x, 0x8d22f6e6);
  return reversed(x);
}

/** The bits of a word in reverse, as a number from 0 to 2^32 - 1. */
function reversed(word: number): number {
  let x = word;
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2);
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4);
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8);
  return ((x >>> 16) | (x << 16)) >>> 0;
}
