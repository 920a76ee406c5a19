/** @file Runs a sweep file: what is missing of its rows, then the tables of what is there. */
import { join } from 'node:path';
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import type { Roots } from '../../nodes/node-context.ts';
import type { NodeRegistry } from '../../nodes/registry.ts';
import type { StepEvent } from '../../trainer/run/events.ts';
import { labelOf, type Plan, type PlannedRow, planSweep } from './plan.ts';
import { findRow, type Row, writeRow } from './rows.ts';
import { readSweepFile, type Sweep } from './sweep-file.ts';
import { type Tables, writeTables } from './tables.ts';

export type SweepEvent =
  | { readonly kind: 'planned'; readonly rows: number; readonly finished: number }
  | {
      readonly kind: 'progress';
      readonly label: string;
      /** What trains. */
      readonly node: string;
      readonly step: Pick<StepEvent, 'step' | 'steps' | 'counts'>;
    }
  | {
      readonly kind: 'row';
      readonly label: string;
      readonly row: Row;
      /** Rows that are there now, of all. */
      readonly done: number;
      readonly rows: number;
    }
  | { readonly kind: 'failed'; readonly label: string; readonly error: FlowstepError }
  | { readonly kind: 'notice'; readonly message: string };

/** What a way to run rows tells. */
export interface RowHandler {
  done(row: Row): Promise<void>;
  failed(row: PlannedRow, error: FlowstepError): void;
  tell(event: SweepEvent): void;
}

export interface RunnerOptions {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
  readonly signal: AbortSignal;
}

/** Runs rows, each once, telling of each; throws what stops all of them. */
export type Runner = (
  plan: Plan,
  pending: readonly PlannedRow[],
  handler: RowHandler,
  options: RunnerOptions,
) => Promise<void>;

export interface SweepOptions extends RunnerOptions {
  readonly runner: Runner;
  readonly onEvent?: (event: SweepEvent) => void;
}

/** Where rows and tables of a sweep are, absolute. */
export function sweepFolder(roots: Roots, { name }: Pick<Sweep, 'name'>): string {
  return join(roots.output, 'sweeps', name);
}

/**
 * Runs what is missing and writes the tables. Rows that fail do not stop the others; when there are such, or when the sweep
 * is stopped, the tables of what is there are written all the same before the error is thrown.
 */
export async function runSweep(file: string, options: SweepOptions): Promise<Tables> {
  const { registry, roots, signal } = options;
  const tell = options.onEvent ?? (() => undefined);
  const sweep = await readSweepFile(file);
  const plan = await planSweep(sweep, { registry, roots, signal, file });
  const folder = sweepFolder(roots, sweep);
  const byKey = new Map(plan.rows.map((row) => [row.job.key, row]));
  const rows = new Map<string, Row>();
  for (const key of byKey.keys()) {
    const row = await findRow(folder, key);
    if (row) rows.set(key, row);
  }
  tell({ kind: 'planned', rows: byKey.size, finished: rows.size });

  const failures = new Map<string, FlowstepError>();
  const handler: RowHandler = {
    async done(row) {
      await writeRow(folder, row);
      rows.set(row.key, row);
      const label = labelOf(byKey.get(row.key)!);
      tell({ kind: 'row', label, row, done: rows.size, rows: byKey.size });
    },
    failed(row, error) {
      const label = labelOf(row);
      failures.set(label, error);
      tell({ kind: 'failed', label, error });
    },
    tell,
  };
  const pending = [...byKey.values()].filter(({ job }) => !rows.has(job.key));
  let stop: FlowstepError | undefined;
  try {
    if (pending.length > 0) await options.runner(plan, pending, handler, options);
  } catch (thrown) {
    stop = asFlowstepError(thrown);
  }
  if (stop?.kind === 'bug') throw stop;
  const tables = await writeTables(plan, rows, folder);
  if (stop) throw stopped(stop, rows.size, byKey.size, folder);
  if (failures.size > 0) throw withFailures(failures, byKey.size, folder);
  return tables;
}

function stopped(
  { code, message, details }: FlowstepError,
  finished: number,
  rows: number,
  folder: string,
): FlowstepError {
  const kept = `${finished} of ${rows} rows are finished and kept in ${folder}; the same command goes on from there.`;
  const hint = [details.hint, kept].filter(Boolean).join(' ');
  return new FlowstepError(code, message, { ...details, hint, cause: details.cause });
}

function withFailures(
  failures: ReadonlyMap<string, FlowstepError>,
  rows: number,
  folder: string,
): FlowstepError {
  const [first] = failures.values();
  return new FlowstepError(first!.code, `${failures.size} of ${rows} rows failed`, {
    issues: [...failures].map(([label, { message }]) => ({ message: `${label}: ${message}` })),
    hint: `The others are in ${folder}; the same command tries those that failed again.`,
    cause: first,
  });
}
