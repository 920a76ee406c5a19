/** @file The range of a logarithmic axis. */

/** Part of the values that may lie below: a student that starts as its teacher is at first at no distance from it. */
const IGNORED_PART = 0.02;
/** More powers of ten than a chart of this height can tell apart. */
const MAX_RATIO = 1e6;
/** Room above the highest value. */
const HEADROOM = 1.3;

/** Lower and upper end for positive values. The lower has one digit: from any other, uPlot's marks never get on. */
export function logRange(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted.at(-1) ?? 1;
  const low = sorted[Math.floor(sorted.length * IGNORED_PART)] ?? 0.1;
  return [oneDigitBelow(Math.max(low, high / MAX_RATIO)), high * HEADROOM];
}

/** The greatest number of one digit and a power of ten that is below the value. */
function oneDigitBelow(value: number): number {
  const exponent = Math.floor(Math.log10(value));
  // Powers of ten are written, as computed ones are not exact.
  for (let digit = 9; digit > 0; digit--) {
    const number = Number(`${digit}e${exponent}`);
    if (number < value) return number;
  }
  return Number(`9e${exponent - 1}`);
}
