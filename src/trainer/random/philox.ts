/**
 * @file Random numbers as a function of (seed, stream, step, index), by the counter-based generator Philox4x32-10.
 *
 * Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. Having no state, a run that
 * resumes at some step draws what it would have drawn, and any part of a tensor can be drawn alone.
 */
import { setImmediate } from 'node:timers/promises';
import { bug, FlowstepError } from '../../errors.ts';
import { MAX_WORDS, normalsFromWords } from './inverse-normal.ts';
import { type Seed, seedWords } from './seed.ts';

const ROUNDS = 10;
const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const WORDS_PER_BLOCK = 4;

/** Words made at a time: few enough to stay in the first-level cache. */
const CHUNK_WORDS = MAX_WORDS;

/** Numbers filled between two turns of the event loop: less than a millisecond. */
const SLICE = 32_768;

const chunk = new Uint32Array(CHUNK_WORDS);

/** Uniform on [0, 1), multiples of 2^-24, into out[from, to). */
export function fillUniform(
  out: Float32Array,
  seed: Seed,
  stream: number,
  step: number,
  from = 0,
  to = out.length,
): void {
  forEachChunk(seed, stream, step, out, from, to, (words, base, begin, end) => {
    for (let i = begin; i < end; i++) out[i] = (words[i - base]! >>> 8) * 2 ** -24;
  });
}

/** Standard normal into out[from, to); at most 6.34 in magnitude. */
export function fillNormal(
  out: Float32Array,
  seed: Seed,
  stream: number,
  step: number,
  from = 0,
  to = out.length,
): void {
  forEachChunk(seed, stream, step, out, from, to, (words, base, begin, end) => {
    normalsFromWords(out, words, base, begin, end);
  });
}

/** Whole numbers from 0 to bound - 1 into out[from, to), equally likely to within bound / 2^32. */
export function fillIndices(
  out: Int32Array,
  bound: number,
  seed: Seed,
  stream: number,
  step: number,
  from = 0,
  to = out.length,
): void {
  forEachChunk(seed, stream, step, out, from, to, (words, base, begin, end) => {
    for (let i = begin; i < end; i++) out[i] = Math.floor(words[i - base]! * 2 ** -32 * bound);
  });
}

/** As `fillNormal` for the whole of `out`, letting the event loop turn between slices. */
export function fillNormalAsync(
  out: Float32Array,
  seed: Seed,
  stream: number,
  step: number,
): Promise<void> {
  return inSlices(out.length, (from, to) => fillNormal(out, seed, stream, step, from, to));
}

/** As `fillUniform` for the whole of `out`, letting the event loop turn between slices. */
export function fillUniformAsync(
  out: Float32Array,
  seed: Seed,
  stream: number,
  step: number,
): Promise<void> {
  return inSlices(out.length, (from, to) => fillUniform(out, seed, stream, step, from, to));
}

async function inSlices(length: number, fill: (from: number, to: number) => void): Promise<void> {
  for (let from = 0; from < length; from += SLICE) {
    if (from > 0) await setImmediate();
    fill(from, Math.min(from + SLICE, length));
  }
}

/** Gives `use` the random words of elements [begin, end), where words[i - base] is that of element i. */
function forEachChunk(
  seed: Seed,
  stream: number,
  step: number,
  out: { readonly length: number },
  from: number,
  to: number,
  use: (words: Uint32Array, base: number, begin: number, end: number) => void,
): void {
  if (!(from >= 0 && from <= to && to <= out.length)) {
    throw bug(`range ${from} to ${to} of ${out.length} numbers`);
  }
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `step ${step} is not a whole number from 0 up`);
  }
  const [keyLow, keyHigh] = seedWords(seed);
  const stepHigh = Math.floor(step / 2 ** 32);
  const first = from - (from % WORDS_PER_BLOCK);
  for (let base = first; base < to; base += CHUNK_WORDS) {
    const end = Math.min(base + CHUNK_WORDS, to);
    const blocks = 2 * Math.ceil((end - base) / (2 * WORDS_PER_BLOCK));
    const block = base / WORDS_PER_BLOCK;
    philoxBlocks(chunk, blocks, block, step, stream, stepHigh, keyLow, keyHigh);
    use(chunk, base, Math.max(base, from), end);
  }
}

/**
 * Writes `blocks` (an even number of) blocks of four words to `out`: those of the counters (c0, c1, c2, c3),
 * (c0 + 1, c1, c2, c3) and so on under the key (k0, k1), all taken as 32-bit words.
 */
export function philoxBlocks(
  out: Uint32Array,
  blocks: number,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  // Two blocks, a and b, side by side: a round waits for the one before, so one block leaves the processor idle.
  for (let block = 0; block < blocks; block += 2) {
    let a0 = (c0 + block) | 0;
    let a1 = c1 | 0;
    let a2 = c2 | 0;
    let a3 = c3 | 0;
    let b0 = (c0 + block + 1) | 0;
    let b1 = a1;
    let b2 = a2;
    let b3 = a3;
    let key0 = k0 | 0;
    let key1 = k1 | 0;
    for (let round = 0; round < ROUNDS; round++) {
      const aLow0 = Math.imul(M0, a0);
      const aLow1 = Math.imul(M1, a2);
      const aHigh0 = mulHigh(M0, a0, aLow0);
      const aHigh1 = mulHigh(M1, a2, aLow1);
      a0 = aHigh1 ^ a1 ^ key0;
      a1 = aLow1;
      a2 = aHigh0 ^ a3 ^ key1;
      a3 = aLow0;
      const bLow0 = Math.imul(M0, b0);
      const bLow1 = Math.imul(M1, b2);
      const bHigh0 = mulHigh(M0, b0, bLow0);
      const bHigh1 = mulHigh(M1, b2, bLow1);
      b0 = bHigh1 ^ b1 ^ key0;
      b1 = bLow1;
      b2 = bHigh0 ^ b3 ^ key1;
      b3 = bLow0;
      key0 = (key0 + 0x9e3779b9) | 0;
      key1 = (key1 + 0xbb67ae85) | 0;
    }
    const at = block * WORDS_PER_BLOCK;
    out[at] = a0;
    out[at + 1] = a1;
    out[at + 2] = a2;
    out[at + 3] = a3;
    out[at + 4] = b0;
    out[at + 5] = b1;
    out[at + 6] = b2;
    out[at + 7] = b3;
  }
}

/**
 * The upper 32 bits of the 64-bit product of two words, `low` being its lower 32. In double precision the product is off
 * by at most 2^10; without its lower word it is a multiple of 2^32, to which adding one half and truncating brings it back.
 */
function mulHigh(multiplier: number, word: number, low: number): number {
  return ((multiplier * (word >>> 0) - (low >>> 0)) * 2 ** -32 + 0.5) | 0;
}
