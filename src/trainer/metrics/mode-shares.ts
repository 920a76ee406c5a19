/** @file How samples spread over the modes of a point set: a mode near 0 has been lost. */
import { CHECKER, EIGHT_GAUSSIANS, MOONS, type PointSetName } from '../data/points.ts';

/** Mode of the point (x, y), or undefined when it belongs to none. */
type ModeOf = (x: number, y: number) => number | undefined;

const MODES: Record<PointSetName, { readonly count: number; readonly modeOf: ModeOf }> = {
  '8g': { count: EIGHT_GAUSSIANS.modes, modeOf: nearestGaussian },
  moons: { count: MOONS.modes, modeOf: nearestMoon },
  checker: { count: CHECKER.modes, modeOf: cellOf },
};

/**
 * Share of the points [count, 2] in each mode: `8g` by the nearest centre, `moons` by the nearest half circle, `checker`
 * by the filled cells. Points outside the cells, and those that are not finite, are in no mode: the sum may be below 1.
 */
export function modeShares(name: PointSetName, points: Float32Array): number[] {
  const { count, modeOf } = MODES[name];
  const counts = new Array<number>(count).fill(0);
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i]!;
    const y = points[i + 1]!;
    const mode = Number.isFinite(x + y) ? modeOf(x, y) : undefined;
    if (mode !== undefined) counts[mode]! += 1;
  }
  return counts.map((n) => n / (points.length / 2));
}

/** The centres lie at equal angles on a circle, so that the nearest is the one nearest in angle. */
function nearestGaussian(x: number, y: number): number {
  const { modes } = EIGHT_GAUSSIANS;
  const turns = Math.atan2(y, x) / (2 * Math.PI);
  return (Math.round(turns * modes) + modes) % modes;
}

function nearestMoon(x: number, y: number): number {
  return distanceToMoon(x, y) <= distanceToMoon(-x, -y) ? 0 : 1;
}

/** Distance to the first half circle, in units of its radius. */
function distanceToMoon(x: number, y: number): number {
  const dx = x / MOONS.scale - MOONS.centre[0];
  const dy = y / MOONS.scale - MOONS.centre[1];
  // Below the centre the nearest point is one of the two ends.
  return dy >= 0 ? Math.abs(Math.hypot(dx, dy) - 1) : Math.hypot(Math.abs(dx) - 1, dy);
}

/** Cells are counted column by column from the left, in a column from the bottom. */
function cellOf(x: number, y: number): number | undefined {
  const column = Math.floor(x) + CHECKER.columns / 2;
  const row = Math.floor(y) + CHECKER.columns / 2;
  const isOnBoard = column >= 0 && column < CHECKER.columns && row >= 0 && row < CHECKER.columns;
  // Even columns have rows 0 and 2 filled, odd ones 1 and 3.
  if (!isOnBoard || column % 2 !== row % 2) return undefined;
  return column * 2 + Math.floor(row / 2);
}
