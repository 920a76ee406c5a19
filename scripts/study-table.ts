/** @file A sweep of the study as a table in Markdown, from the runs in its rows.csv. */
import { statistic } from '../src/host/sweep/summary.ts';

/** A line of rows.csv by column. */
type Run = Readonly<Record<string, string>>;

type Settings = Readonly<Record<string, unknown>>;

interface Sweep {
  readonly grid?: Settings;
  readonly list?: readonly Settings[];
}

const DATA = 'data.source';
const SETS = ['8g', 'checker', 'moons'] as const;
const ENERGY = 'energy-distance';

/** Of a table's numbers, which are ten-thousandths. */
const SCALE = 1e4;
/** Differences of equal numbers, after sums. */
const ROUNDING = 1e-9;

/**
 * Energy distances for each configuration and set of points (mean over the seeds, half of its 95 % interval; ten-thousandths), the
 * fewest modes that a run has kept, the least share of a mode, and the share of points outside of the cells of `checker`.
 * Inputs of the sweep's grid, and those that all entries of its list set, are always named; others where they differ from the first row.
 */
export function studyTable(rowsCsv: string, sweep: Sweep): string[] {
  const runs = parseCsv(rowsCsv);
  const names = Object.keys(runs[0]!);
  const settings = names.slice(0, names.indexOf('seed')).filter((name) => name !== DATA);
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const name = nameOf(run, runs[0]!, settings, sweep);
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  const columns = names.includes(DATA)
    ? pointColumns(names)
    : pictureColumns(names.slice(names.indexOf('seconds') + 1));
  const head = ['setting', ...columns.map(({ title }) => title)];
  const lines = [...groups].map(([name, of]) => [name, ...columns.map(({ cell }) => cell(of))]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`);
}

interface Column {
  readonly title: string;
  /** Of all runs of a configuration. */
  readonly cell: (runs: readonly Run[]) => string;
}

function nameOf(run: Run, first: Run, settings: readonly string[], sweep: Sweep): string {
  const { grid = {}, list = [{}] } = sweep;
  const isAlways = (name: string) => name in grid || list.every((entry) => name in entry);
  const told = settings.filter((name) => isAlways(name) || run[name] !== first[name]);
  return told.map((name) => `\`${name}\` ${run[name] || 'auto'}`).join(', ') || 'as it is';
}

function pointColumns(names: readonly string[]): Column[] {
  const models = ['student', 'teacher'].filter((model) => names.includes(`${model}/${ENERGY}`));
  const shareOf = (of: readonly Run[], set: string) => meanOf(of, set, 'least-share')?.toFixed(2);
  return [
    ...models.flatMap((model) =>
      SETS.map((set) => ({
        title: model === 'student' ? set : `${model}, ${set}`,
        cell: (of: readonly Run[]) =>
          numbers(
            of.filter((run) => run[DATA] === set),
            `${model}/${ENERGY}`,
            SCALE,
          ),
      })),
    ),
    { title: 'fewest modes', cell: (of) => SETS.map((set) => fewest(of, set)).join(' / ') },
    { title: 'least share', cell: (of) => SETS.map((set) => shareOf(of, set) ?? '-').join(' / ') },
    {
      title: 'outside, checker',
      cell: (of) => {
        const outside = meanOf(of, 'checker', 'outside');
        return outside === undefined ? '-' : `${(100 * outside).toFixed(1)} %`;
      },
    },
  ];
}

function pictureColumns(names: readonly string[]): Column[] {
  return names.map((name) => ({
    title: name.replace('student/', ''),
    cell: (of) => numbers(of, name, 1),
  }));
}

/** Fewer have no interval worth the name. */
const LEAST_SEEDS = 3;

/** Mean and half of the interval of a column over the seeds, or each of a few, and how many runs diverged. */
function numbers(runs: readonly Run[], column: string, scale: number): string {
  const values = valuesOf(runs, column).map((value) => scale * value);
  const lost = runs.filter(({ outcome }) => outcome === 'diverged').length;
  const told = lost > 0 ? `${lost} of ${runs.length} diverged` : '';
  if (values.length === 0) return told || '-';
  const { mean, interval } = statistic(values);
  const isFew = values.length < LEAST_SEEDS && values.some((value) => value !== mean);
  if (isFew) return values.map(round).join(', ') + (told && `; ${told}`);
  const half = interval ? mean - interval[0] : 0;
  // All seeds have the same teacher.
  const number = half > ROUNDING ? `${round(mean)} ± ${round(half)}` : round(mean);
  return told ? `${number}; ${told}` : number;
}

function fewest(runs: readonly Run[], set: string): string {
  const counts = valuesOf(
    runs.filter((run) => run[DATA] === set),
    'student/modes-covered',
  );
  return counts.length === 0 ? '-' : String(Math.min(...counts));
}

function meanOf(runs: readonly Run[], set: string, metric: string): number | undefined {
  const values = valuesOf(
    runs.filter((run) => run[DATA] === set),
    `student/${metric}`,
  );
  return values.length === 0 ? undefined : statistic(values).mean;
}

function valuesOf(runs: readonly Run[], column: string): number[] {
  return runs.flatMap((run) => (run[column] ? [Number(run[column])] : []));
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

/** Sweeps of the study have no cell with a comma. */
function parseCsv(text: string): Run[] {
  const [head, ...lines] = text
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  return lines.map((cells) => Object.fromEntries(head!.map((name, i) => [name, cells[i] ?? ''])));
}
