/** @file Quantiles of the beta distribution. */

/** Halvings of the interval: enough for every bit of a float64 fraction above 2^-20. */
const HALVINGS = 72;

/** Where Stirling's series to 1/z^7 is exact to 1e-15. */
const STIRLING_FROM = 20;

/** Terms of the continued fraction; for parameters near 1 it converges in about ten. */
const MOST_TERMS = 200;

/** The x in [0, 1] below which a Beta(a, b) variable lies with probability p. */
export function betaQuantile(p: number, a: number, b: number): number {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  // Schedules round what lies near here, so it must be exact.
  if (a === b && p === 0.5) return 0.5;
  let [low, high] = [0, 1];
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The regularised incomplete beta function I_x(a, b) (Abramowitz & Stegun 26.5.8), for x strictly between 0 and 1. */
function incompleteBeta(x: number, a: number, b: number): number {
  // The fraction converges fast below the mean; above, I_x(a, b) = 1 - I_(1-x)(b, a).
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b)) / a;
  // From the innermost term outwards.
  let fraction = 1;
  for (let m = MOST_TERMS; m > 0; m--) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m - 1) * (a + b + m - 1) * x) / ((a + 2 * m - 2) * (a + 2 * m - 1));
    fraction = 1 + odd / (1 + even / fraction);
  }
  return front / fraction;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** ln Gamma(x) for x > 0: shifted up by the recurrence, then Stirling's series (Abramowitz & Stegun 6.1.41). */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < STIRLING_FROM) {
    shift -= Math.log(z);
    z += 1;
  }
  const series = 1 / (12 * z) - 1 / (360 * z ** 3) + 1 / (1260 * z ** 5) - 1 / (1680 * z ** 7);
  return shift + (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series;
}
