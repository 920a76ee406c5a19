/** @file Makes a curve of many noisy values drawable: a moving average, and no more points than pixels. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Curve {
  readonly raw: readonly Point[];
  readonly average: readonly Point[];
}

/** Half the averaging window as a share of the curve: wide enough to calm a loss, narrow enough to keep its turns. */
const HALF_WINDOW_SHARE = 0.01;

/**
 * Thins `points` (in order of x) to at most `places` places. Of each place the least and the greatest value are kept,
 * so that no spike is lost, and the average around it.
 */
export function thinCurve(points: readonly Point[], places: number): Curve {
  const count = Math.min(places, points.length);
  const halfWindow = Math.max(1, Math.round(points.length * HALF_WINDOW_SHARE));
  const raw: Point[] = [];
  const average: Point[] = [];
  for (let place = 0; place < count; place++) {
    const from = Math.floor((place * points.length) / count);
    const to = Math.floor(((place + 1) * points.length) / count);
    raw.push(...extremes(points, from, to));
    const centre = Math.floor((from + to - 1) / 2);
    const window = points.slice(Math.max(0, centre - halfWindow), centre + halfWindow + 1);
    average.push({ x: points[centre]!.x, y: trimmedMean(window) });
  }
  return { raw, average };
}

/** The least and the greatest of points[from..to), in order of x. */
function extremes(points: readonly Point[], from: number, to: number): Point[] {
  let least = from;
  let greatest = from;
  for (let index = from + 1; index < to; index++) {
    if (points[index]!.y < points[least]!.y) least = index;
    if (points[index]!.y > points[greatest]!.y) greatest = index;
  }
  if (least === greatest) return [points[least]!];
  return [points[Math.min(least, greatest)]!, points[Math.max(least, greatest)]!];
}

/** Mean without the least and the greatest value, so that a lone spike does not become a plateau. */
function trimmedMean(window: readonly Point[]): number {
  const values = window.map((point) => point.y).sort((a, b) => a - b);
  const kept = values.length > 2 ? values.slice(1, -1) : values;
  return kept.reduce((sum, value) => sum + value / kept.length, 0);
}

/** Value below which the share `q` of `sorted` lies. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? Number.NaN;
}
