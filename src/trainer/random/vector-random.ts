/** @file Random words and normal numbers, several at once: the WebAssembly of assembly/random.ts and its memory. */
import { RANDOM_MODULE } from './random-module.ts';

/** Most words that are made at once: few enough to stay in the first-level cache. */
export const MAX_WORDS = 1024;

/** Where words, normal numbers and places lie in the module's memory. */
const WORDS_AT = 4096;
const NORMALS_AT = WORDS_AT + 4 * MAX_WORDS;
const TAILS_AT = NORMALS_AT + 4 * MAX_WORDS;

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  words(to: number, blocks: number, ...counterAndKey: Counter): void;
  middle(from: number, to: number, tails: number, count: number): number;
}

/** Four words of a counter, two of a key. */
export type Counter = readonly [number, number, number, number, number, number];

/** What is used of WebAssembly; Node's types have only its name. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
const { exports } = new Instance(new Module(Buffer.from(RANDOM_MODULE, 'base64')));
const module = exports as Exports;

const { buffer } = module.memory;

/** What `makeWords` has made, and `makeQuantiles` takes. */
export const WORDS = new Uint32Array(buffer, WORDS_AT, MAX_WORDS);
/** What `makeQuantiles` has made. */
export const QUANTILES = new Float32Array(buffer, NORMALS_AT, MAX_WORDS);
/** Places of the words that lie in the tails. */
export const TAILS = new Uint16Array(buffer, TAILS_AT, MAX_WORDS + 2);

const LANES = 4;

/** Fills WORDS with that many blocks of Philox, of four words each; and up to three blocks more. */
export function makeWords(blocks: number, counterAndKey: Counter): void {
  module.words(WORDS_AT, LANES * Math.ceil(blocks / LANES), ...counterAndKey);
}

/**
 * Fills QUANTILES with the normal quantiles of `count` of WORDS from `start` on, as if they all lay in the middle of the
 * distribution, and TAILS with the places, from 0 on, of those that do not. Returns the number of these.
 */
export function makeQuantiles(start: number, count: number): number {
  const found = module.middle(WORDS_AT + 4 * start, NORMALS_AT, TAILS_AT, count + (count % 2));
  return found > 0 && TAILS[found - 1]! >= count ? found - 1 : found;
}
