/** @file The times at which a student of several steps looks at its input. */

/** ComfyUI's schedulers pick from a table of this many sigmas. */
const TABLE = 1000;

/**
 * ComfyUI's `simple` grid of a flow model, times t*: `steps` falling times in (0, t*], the first is t*.
 * Its table holds shift t / (1 + (shift - 1) t) at t = 1/1000, ..., 1; `simple` takes every (1000 / steps)th from the top.
 */
export function studentGrid(tStar: number, steps: number, shift: number): number[] {
  return Array.from({ length: steps }, (_, k) => {
    if (k === 0) return tStar;
    const t = (TABLE - Math.floor((k * TABLE) / steps)) / TABLE;
    return (tStar * shift * t) / (1 + (shift - 1) * t);
  });
}
