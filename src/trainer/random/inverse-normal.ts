/** @file Normal numbers from random words by the inverse of the normal distribution function. */

/** Most words that one call takes. */
export const MAX_WORDS = 1024;

/** Positions of the words in the tails; the slot after the last one is written too. */
const tails = new Uint16Array(MAX_WORDS + 1);

/**
 * Sets out[i] for i in [from, to) to the standard normal quantile of (words[i - base] + 0.5) / 2^32.
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
  // First the middle 85 % of the distribution, as if it were all, noting which words lie outside: without a branch that
  // the processor would guess wrong at every seventh number.
  let tailCount = 0;
  for (let i = from; i < to; i++) {
    const q = centred(words[i - base]!);
    const r = 0.180625 - q * q;
    out[i] = (q * middleNumerator(r)) / middleDenominator(r);
    tails[tailCount] = i - base;
    tailCount -= Math.floor(r); // r is in (-0.07, 0.19), negative in the tails
  }
  for (let k = 0; k < tailCount; k++) {
    const position = tails[k]!;
    const q = centred(words[position]!);
    // 0.5 - |q| is exact, so that the two tails mirror each other.
    const r = Math.sqrt(-Math.log(0.5 - Math.abs(q))) - 1.6;
    out[base + position] = (Math.sign(q) * tailNumerator(r)) / tailDenominator(r);
  }
}

/** Probability of a word, less one half. */
function centred(word: number): number {
  return (word + 0.5) * 2 ** -32 - 0.5;
}

function middleNumerator(r: number): number {
  let sum = 2509.0809287301227;
  sum = sum * r + 33430.57558358813;
  sum = sum * r + 67265.7709270087;
  sum = sum * r + 45921.95393154987;
  sum = sum * r + 13731.69376550946;
  sum = sum * r + 1971.5909503065513;
  sum = sum * r + 133.14166789178438;
  return sum * r + 3.3871328727963665;
}

function middleDenominator(r: number): number {
  let sum = 5226.495278852854;
  sum = sum * r + 28729.085735721943;
  sum = sum * r + 39307.89580009271;
  sum = sum * r + 21213.794301586597;
  sum = sum * r + 5394.196021424751;
  sum = sum * r + 687.1870074920579;
  sum = sum * r + 42.31333070160091;
  return sum * r + 1;
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
