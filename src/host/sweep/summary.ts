/** @file What the rows of a sweep say together: means, medians and intervals over seeds. */
import { canonicalJson } from '../../trainer/files/canonical-json.ts';
import type { Plan } from './plan.ts';
import type { Row } from './rows.ts';
import type { Settings } from './sweep-file.ts';

/** A measured number over the seeds of one configuration. */
export interface Statistic {
  readonly mean: number;
  /** 95 % interval of the mean by Student's t; from two seeds on. */
  readonly interval?: readonly [low: number, high: number];
  readonly median: number;
  /** One a finished run, in the order of the seeds. */
  readonly values: readonly number[];
}

/** All runs of one configuration. */
export interface SummaryRow {
  readonly settings: Settings;
  /** Runs that there should be, and how many of them finished or diverged. */
  readonly runs: number;
  readonly finished: number;
  readonly diverged: number;
  /** By column; columns that no run has are left out. */
  readonly statistics: Readonly<Record<string, Statistic>>;
}

/** 0.975 quantiles of Student's t for 1, 2, 3... degrees of freedom. */
const T_QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145,
  2.131, 2.12, 2.11, 2.101, 2.093, 2.086,
] as const;

/** One row for each configuration, in the order of the sweep. */
export function summarise(plan: Plan, rows: ReadonlyMap<string, Row>): SummaryRow[] {
  const groups = new Map<string, { settings: Settings; keys: string[] }>();
  for (const { settings, job } of plan.rows) {
    const id = canonicalJson(settings);
    const group = groups.get(id) ?? { settings, keys: [] };
    group.keys.push(job.key);
    groups.set(id, group);
  }
  return [...groups.values()].map(({ settings, keys }) => {
    const found = keys.flatMap((key) => rows.get(key) ?? []);
    const finished = found.filter((row) => row.outcome === 'finished');
    const columns = [...new Set(finished.flatMap((row) => Object.keys(row.figures)))];
    return {
      settings,
      runs: keys.length,
      finished: finished.length,
      diverged: found.length - finished.length,
      statistics: Object.fromEntries(
        columns.map((column) => [
          column,
          statistic(finished.flatMap((row) => row.figures[column]?.value ?? [])),
        ]),
      ),
    };
  });
}

/** Names of all measured columns. */
export function columnsOf(summary: readonly SummaryRow[]): string[] {
  return [...new Set(summary.flatMap(({ statistics }) => Object.keys(statistics)))];
}

/** Mean, median and, from two values on, the 95 % interval of the mean. */
export function statistic(values: readonly number[]): Statistic {
  const count = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / count;
  const sorted = [...values].sort((a, b) => a - b);
  const median = (sorted[(count - 1) >> 1]! + sorted[count >> 1]!) / 2;
  if (count < 2) return { mean, median, values };
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (count - 1);
  const half = tQuantile(count - 1) * Math.sqrt(variance / count);
  return { mean, interval: [mean - half, mean + half], median, values };
}

/** Beyond the table by the first terms of its expansion about the normal's quantile; good to 0.001 there. */
function tQuantile(freedom: number): number {
  return T_QUANTILES[freedom - 1] ?? 1.96 + 2.372 / freedom + 2.823 / freedom ** 2;
}
