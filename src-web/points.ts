/** @file The points of a chart: in order, few enough to draw at once, and smoothed. */
import type { Point } from './messages.ts';

/** More than a node's chart has pixels across. */
export const MAX_POINTS = 1200;
/** The moving average looks back over this part of the points. */
const SMOOTHED_PART = 0.04;

/**
 * Adds newer points. One whose step is not past the last takes its place and that of all after it: a run that lost its
 * server goes on from its last checkpoint.
 */
export function append(points: readonly Point[], newer: readonly Point[]): readonly Point[] {
  const first = newer[0];
  if (!first) return points;
  const last = points.at(-1);
  const before =
    last && last.step >= first.step ? points.filter((p) => p.step < first.step) : points;
  const all = [...before, ...newer];
  return all.length > MAX_POINTS ? thin(all, MAX_POINTS / 2) : all;
}

/** At most `count` points, each the mean of those in an equal part of the steps. */
export function thin(points: readonly Point[], count: number): readonly Point[] {
  const first = points[0]?.step ?? 0;
  const width = ((points.at(-1)?.step ?? 0) - first + 1) / count;
  const parts: Point[][] = Array.from({ length: count }, () => []);
  for (const point of points) parts[Math.floor((point.step - first) / width)]!.push(point);
  return parts
    .filter((part) => part.length > 0)
    .map((part) => ({ step: part.at(-1)!.step, metrics: meanMetrics(part) }));
}

function meanMetrics(points: readonly Point[]): Record<string, number | null> {
  const names = new Set(points.flatMap((point) => Object.keys(point.metrics)));
  return Object.fromEntries(
    [...names].map((name) => {
      const values = points.flatMap((point) => point.metrics[name] ?? []);
      return [name, values.length ? values.reduce((a, b) => a + b) / values.length : null];
    }),
  );
}

/** Exponential moving average, without the pull towards 0 at its start; gaps stay gaps. */
export function smooth(values: readonly (number | null)[]): (number | null)[] {
  const keep = 1 - 1 / Math.max(1, values.length * SMOOTHED_PART);
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}
