/** @file Seeds: whole numbers of 64 bits, however they are spelt. */
import { FlowstepError } from '../../errors.ts';

/** A whole number from 0 to 2^64 - 1; above 2^53 a bigint or decimal text, since a number cannot hold it. */
export type Seed = number | bigint | string;

/** The low and high 32 bits of a seed; throws VALUE_OUT_OF_RANGE for what is not one. */
export function seedWords(seed: Seed): readonly [low: number, high: number] {
  // The common case, kept free of bigints: seeds are split for every tensor drawn.
  if (typeof seed === 'number' && Number.isSafeInteger(seed) && seed >= 0) {
    return [seed >>> 0, Math.floor(seed / 2 ** 32)];
  }
  if (typeof seed === 'bigint' && seed >= 0n && seed < 2n ** 64n) {
    return [Number(seed & 0xffffffffn), Number(seed >> 32n)];
  }
  if (typeof seed === 'string' && /^\d{1,20}$/.test(seed)) return seedWords(BigInt(seed));
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `seed ${seed} is not a whole number from 0 to 2^64 - 1`,
    { hint: 'Above 2^53 - 1, give the seed as text.' },
  );
}
