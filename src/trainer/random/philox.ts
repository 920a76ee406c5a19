/**
 * @file Random numbers as a function of (seed, stream, step, index), by the counter-based generator Philox4x32-10.
 *
 * Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. Having no state, a run that
 * resumes at some step draws what it would have drawn, and any part of a tensor can be drawn alone.
 */
import { setImmediate } from 'node:timers/promises';
import { bug, FlowstepError } from '../../errors.ts';
import { normalsFromWords } from './inverse-normal.ts';
import { type Seed, seedWords } from './seed.ts';
import { type Counter, MAX_WORDS, makeWords, WORDS } from './vector-random.ts';

const WORDS_PER_BLOCK = 4;

/** Numbers filled between two turns of the event loop: less than a millisecond. */
const SLICE = 32_768;

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
  for (let base = first; base < to; base += MAX_WORDS) {
    const end = Math.min(base + MAX_WORDS, to);
    const blocks = Math.ceil((end - base) / WORDS_PER_BLOCK);
    makeWords(blocks, [base / WORDS_PER_BLOCK, step, stream, stepHigh, keyLow, keyHigh]);
    use(WORDS, base, Math.max(base, from), end);
  }
}

/**
 * Writes `blocks` blocks of four words to `out`: those of the counters (c0, c1, c2, c3), (c0 + 1, c1, c2, c3) and so on under
 * the key (k0, k1), all taken as 32-bit words.
 */
export function philoxBlocks(out: Uint32Array, blocks: number, ...counterAndKey: Counter): void {
  const [c0, ...others] = counterAndKey;
  const most = MAX_WORDS / WORDS_PER_BLOCK;
  for (let block = 0; block < blocks; block += most) {
    const count = Math.min(most, blocks - block);
    makeWords(count, [c0 + block, ...others]);
    out.set(WORDS.subarray(0, count * WORDS_PER_BLOCK), block * WORDS_PER_BLOCK);
  }
}
