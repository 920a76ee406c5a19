/** @file The results of a sweep as files: CSV, JSON, Markdown, and a picture for each measured number. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { intervalPlot } from '../../nodes/pictures/interval-plot.ts';
import { encodePng } from '../../nodes/pictures/picture.ts';
import { atomicWrite } from '../../trainer/files/atomic-write.ts';
import type { Plan } from './plan.ts';
import type { Row } from './rows.ts';
import { columnsOf, type Statistic, type SummaryRow, summarise } from './summary.ts';

/** More lines than that are no picture any more. */
const MAX_PICTURE_ROWS = 300;
/** Digits of numbers for people. */
const DIGITS = 4;

export interface Tables {
  readonly summary: readonly SummaryRow[];
  /** Absolute. */
  readonly files: readonly string[];
  /** The summary as a table in Markdown. */
  readonly text: readonly string[];
}

/** Writes what is there of a sweep into its folder. Throws FILE_UNWRITABLE. */
export async function writeTables(
  plan: Plan,
  rows: ReadonlyMap<string, Row>,
  folder: string,
): Promise<Tables> {
  await mkdir(folder, { recursive: true }).catch(() => undefined);
  const summary = summarise(plan, rows);
  const columns = columnsOf(summary);
  const text = markdown(plan, summary, columns);
  const contents: [name: string, content: string | Uint8Array][] = [
    ['table.csv', csv(summaryRecords(plan, summary, columns))],
    ['rows.csv', csv(rowRecords(plan, rows, columns))],
    ['table.json', json(plan, summary, rows)],
    ['table.md', `${text.join('\n')}\n`],
  ];
  if (summary.length <= MAX_PICTURE_ROWS) {
    for (const column of columns) {
      const name = `${column.replace(/[^A-Za-z0-9.-]+/g, '_')}.png`;
      contents.push([name, await encodePng(picture(plan, summary, column))]);
    }
  }
  for (const [name, content] of contents) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    await atomicWrite(join(folder, name), [bytes]);
  }
  return { summary, files: contents.map(([name]) => join(folder, name)), text };
}

type Cell = string | number | boolean | undefined;
type Table = readonly (readonly Cell[])[];

function summaryRecords(
  { parameters }: Plan,
  summary: readonly SummaryRow[],
  columns: readonly string[],
): Table {
  const parts = ['mean', 'low', 'high', 'median'];
  const head = columns.flatMap((column) => parts.map((part) => `${column} ${part}`));
  return [
    [...parameters, 'runs', 'finished', 'diverged', ...head],
    ...summary.map(({ settings, runs, finished, diverged, statistics }) => [
      ...parameters.map((name) => settings[name]),
      ...[runs, finished, diverged],
      ...columns.flatMap((column) => {
        const found = statistics[column];
        return [found?.mean, found?.interval?.[0], found?.interval?.[1], found?.median];
      }),
    ]),
  ];
}

function rowRecords(
  { parameters, rows: planned }: Plan,
  rows: ReadonlyMap<string, Row>,
  columns: readonly string[],
): Table {
  return [
    [...parameters, 'seed', 'outcome', 'seconds', ...columns],
    ...planned.map(({ settings, seed, job }) => {
      const row = rows.get(job.key);
      return [
        ...parameters.map((name) => settings[name]),
        ...[seed, row?.outcome ?? 'missing', row?.made.seconds],
        ...columns.map((column) => row?.figures[column]?.value),
      ];
    }),
  ];
}

/** RFC 4180, with line feeds. */
function csv(table: Table): string {
  const field = (cell: Cell) => {
    const text = cell === undefined ? '' : String(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${table.map((record) => record.map(field).join(',')).join('\n')}\n`;
}

function json(
  { sweep, parameters, rows: planned }: Plan,
  summary: readonly SummaryRow[],
  rows: ReadonlyMap<string, Row>,
): string {
  const { name, description, seeds } = sweep;
  const all = planned.map(({ settings, seed, job }) => {
    const { outcome, problem, figures, made } = rows.get(job.key) ?? { outcome: 'missing' };
    return { settings, seed, key: job.key, outcome, problem, figures, made };
  });
  const whole = { name, description, parameters, seeds: seeds?.values, summary, rows: all };
  return `${JSON.stringify(whole, null, 2)}\n`;
}

function markdown(
  { parameters }: Plan,
  summary: readonly SummaryRow[],
  columns: readonly string[],
): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const head = [...parameters, 'runs', ...columns];
  return [
    line(head),
    `|${head.map(() => '---').join('|')}|`,
    ...summary.map((row) =>
      line([
        ...parameters.map((name) => String(row.settings[name])),
        runsText(row),
        ...columns.map((column) => statisticText(row.statistics[column])),
      ]),
    ),
  ];
}

/** Such as `5`, or `3 of 5, 1 diverged`. */
function runsText({ runs, finished, diverged }: SummaryRow): string {
  const share = finished === runs ? `${runs}` : `${finished} of ${runs}`;
  return diverged > 0 ? `${share}, ${diverged} diverged` : share;
}

function statisticText(found: Statistic | undefined): string {
  if (!found) return '';
  const [low, high] = (found.interval ?? []).map(short);
  return low === high ? short(found.mean) : `${short(found.mean)} [${low}, ${high}]`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(DIGITS)));
}

function picture({ sweep, parameters }: Plan, summary: readonly SummaryRow[], column: string) {
  return intervalPlot({
    title: `${sweep.name}: ${column}`,
    subtitle: parameters.join('  '),
    rows: summary.map((row) => {
      const found = row.statistics[column];
      const label = parameters.map((name) => String(row.settings[name])).join('  ');
      const problems = row.diverged > 0 ? ` (${row.diverged} of ${row.runs} diverged)` : '';
      return {
        label: `${label}${problems}`,
        ...(found && { mean: found.mean, values: found.values }),
        ...(found?.interval && { interval: found.interval }),
      };
    }),
  });
}
