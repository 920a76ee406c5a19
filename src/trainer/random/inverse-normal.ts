/** @file Normal numbers from random words by the inverse of the normal distribution function. */

import { makeQuantiles, QUANTILES, TAILS, WORDS } from './vector-random.ts';

/**
 * Sets out[i] for i in [from, to), at most MAX_WORDS, to the standard normal quantile of (words[i - base] + 0.5) / 2^32.
 *
 * Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37 (1988), PPND16;
 * its coefficients are written here as the nearest doubles.
 * The paper's case sqrt(-ln p) > 5 cannot occur: p is at least 2^-33, which gives 4.79.
 */
export function normalsFromWords(
  out: Float32Array,
  words: Uint32Array,
  base: number,
  from: number,
  to: number,
): void {
  const start = from - base;
  if (words !== WORDS) WORDS.set(words.subarray(start, to - base), start);
  // First the middle 85 % of the distribution, as if it were all.
  const tailCount = makeQuantiles(start, to - from);
  out.set(QUANTILES.subarray(0, to - from), from);
  for (let k = 0; k < tailCount; k++) {
    const place = TAILS[k]!;
    const q = centred(words[start + place]!);
    // 0.5 - |q| is exact, so that the two tails mirror each other.
    const r = Math.sqrt(-Math.log(0.5 - Math.abs(q))) - 1.6;
    out[from + place] = (Math.sign(q) * tailNumerator(r)) / tailDenominator(r);
  }
}

/** Probability of a word, less one half. */
function centred(word: number): number {
  return (word + 0.5) * 2 ** -32 - 0.5;
}

function tailNumerator(r: number): number {
  let sum = 0.0007745450142783414;
  sum = sum * r + 0.022723844989269184;
  sum = sum * r + 0.2417807251774506;
  sum = sum * r + 1.2704582524523684;
  sum = sum * r + 3.6478483247632045;
  sum = sum * r + 5.769497221460691;
  sum = sum * r + 4.630337846156546;
  return sum * r + 1.4234371107496835;
}

function tailDenominator(r: number): number {
  let sum = 1.0507500716444169e-9;
  sum = sum * r + 0.0005475938084995345;
  sum = sum * r + 0.015198666563616457;
  sum = sum * r + 0.14810397642748008;
  sum = sum * r + 0.6897673349851;
  sum = sum * r + 1.6763848301838038;
  sum = sum * r + 2.053191626637759;
  return sum * r + 1;
}
