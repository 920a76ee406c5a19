/** @file Curves of two trainings beside each other. */

/** The largest difference of two curves, as a share of the largest value: a curve may pass through 0. */
export function difference(a: unknown, b: unknown): number {
  if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return Number.NaN;
  const scale = Math.max(...b.map(Math.abs));
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]) / scale));
}
