/** @file A model and its teacher at several numbers of steps: scores, network evaluations and time, as a table and a plot. */
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import type { PromptSet } from '../trainer/data/prompts.ts';
import type { Guidance } from '../trainer/flow/guidance.ts';
import type { FeatureExtractor } from '../trainer/metrics/extractor.ts';
import type { Figures } from '../trainer/metrics/figures.ts';
import { checkMeasure, measureModel } from '../trainer/metrics/measure-model.ts';
import { networkEvaluations } from '../trainer/metrics/measured-sampler.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { Progress } from '../trainer/run/progress.ts';
import { requireGuidable } from './guidance-inputs.ts';
import type { NodeContext } from './node-context.ts';
import type { Picture } from './pictures/picture.ts';
import { scorePlot } from './pictures/score-plot.ts';

export const TABLE_SOLVERS = ['euler', 'heun'] as const;
export type TableSolver = (typeof TABLE_SOLVERS)[number];

/** Most steps of a row. */
const MAX_STEPS = 10_000;

export interface TableRequest {
  readonly model: FlowModel;
  readonly teacher?: FlowModel | undefined;
  readonly dataset: Dataset;
  readonly extractor?: FeatureExtractor | undefined;
  readonly count: number;
  readonly draws: number;
  /** None = all that are possible. */
  readonly metrics: readonly string[];
  /** Of flows of many steps; students take theirs. */
  readonly steps: readonly number[];
  readonly solvers: readonly TableSolver[];
  readonly seed: number;
  readonly prompts?: PromptSet | undefined;
  readonly guidance?: Guidance | undefined;
}

export interface TableRow {
  readonly solver: 'one-step' | TableSolver;
  readonly steps: number;
  /** Network evaluations of a sample. */
  readonly nfe: number;
  readonly secondsPerSample: number;
  readonly scores: Figures;
}

/** What the node and the command give to machines. */
export interface EvaluationReport {
  readonly dataset: string;
  /** Whose space the scores are in; absent for points. */
  readonly extractor?: string;
  readonly count: number;
  readonly draws?: number;
  readonly seed: number;
  readonly cfg?: number;
  /** Latest time with guidance; absent = all times. */
  readonly cfgTMax?: number;
  /** By name: `student`, `teacher euler 50`. */
  readonly rows: Readonly<Record<string, TableRow>>;
  readonly notices: readonly string[];
}

interface PlannedRow {
  readonly name: string;
  readonly model: FlowModel;
  readonly solver: TableRow['solver'];
  readonly steps: number;
}

/** Measures row by row; what cannot be measured is told before the first. Throws as `measureModel`. */
export async function evaluationTable(
  request: TableRequest,
  context: Pick<NodeContext, 'signal' | 'onProgress'>,
): Promise<EvaluationReport> {
  const { dataset, extractor, count, draws, metrics, seed, prompts, guidance } = request;
  const plan = planRows(request);
  if (guidance) requireGuided(plan);
  for (const { info } of new Set(plan.map(({ model }) => model))) {
    checkMeasure(info.network, dataset, extractor, { metrics, count });
  }
  const rows: Record<string, TableRow> = {};
  const notices = new Set<string>();
  const progress = new Progress(plan.length);
  for (const [i, { name, model, solver, steps }] of plan.entries()) {
    const started = performance.now();
    const options = { solver, steps, count, draws, metrics, seed, prompts, guidance };
    const found = await measureModel(model, dataset, extractor, options, context.signal);
    for (const notice of found.notices) notices.add(notice);
    rows[name] = {
      solver,
      steps,
      nfe: networkEvaluations(model, { solver, steps, guidance }),
      secondsPerSample: found.secondsPerSample,
      scores: found.figures,
    };
    context.onProgress({
      kind: 'step',
      counts: 'measuring rows',
      step: i + 1,
      steps: plan.length,
      metrics: {},
      ...progress.tick(i + 1, performance.now() - started),
    });
  }
  const isPlane = dataset.shape.length === 1;
  return {
    dataset: dataset.name,
    ...(extractor && !isPlane && { extractor: extractor.declared.name }),
    count,
    ...(isPlane && { draws }),
    seed,
    ...(guidance && { cfg: guidance.scale }),
    ...(guidance?.latest !== undefined && { cfgTMax: guidance.latest }),
    rows,
    notices: [...notices],
  };
}

/** Throws VALUE_OUT_OF_RANGE where guidance would change nothing that is measured. */
function requireGuided(plan: readonly PlannedRow[]): void {
  const flows = plan.filter(({ solver }) => solver !== 'one-step');
  for (const { model } of flows) requireGuidable(model.info.network);
  if (flows.length > 0) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    'guidance is for flows of many steps: a student has its own built in',
    { field: 'cfg', hint: 'Set cfg to 1 (leave --cfg out), or name a teacher beside the student.' },
  );
}

function planRows({ model, teacher, steps, solvers }: TableRequest): PlannedRow[] {
  return [...namedRows('model', model), ...(teacher ? namedRows('teacher', teacher) : [])];

  function namedRows(name: string, flow: FlowModel): PlannedRow[] {
    const { role, student } = flow.info;
    if (student) {
      return [{ name: role, model: flow, solver: 'one-step', steps: student.grid.length }];
    }
    return solvers.flatMap((solver) =>
      steps.map((n) => ({ name: `${name} ${solver} ${n}`, model: flow, solver, steps: n })),
    );
  }
}

/**
 * Scores over network evaluations, of the first metric that was measured, and the table of all: without times, as a picture is
 * the same each time it is made.
 */
export function evaluationPlot(report: EvaluationReport): Picture {
  const { dataset, rows } = report;
  const [score = ''] = Object.values(rows).flatMap(({ scores }) => Object.keys(scores));
  const series = new Map<string, { x: number; y: number }[]>();
  for (const [name, { solver, steps, nfe, scores }] of Object.entries(rows)) {
    const figure = scores[score];
    if (!figure) continue;
    const line = solver === 'one-step' ? name : name.slice(0, -` ${steps}`.length);
    series.set(line, [...(series.get(line) ?? []), { x: nfe, y: figure.value }]);
  }
  return scorePlot({
    title: `${score} on ${dataset}`,
    xLabel: 'network evaluations of a sample',
    series: [...series].map(([name, points]) => ({ name, points })),
    table: alignedTable(report),
  });
}

/** The table as lines of text; the first says what its scores are. */
export function tableLines(report: EvaluationReport): string[] {
  return alignedTable(report, {
    name: 'ms a sample',
    of: ({ secondsPerSample }) => figures(secondsPerSample * 1000, 3),
  });
}

/** A column between the evaluations of a row and its scores. */
interface ExtraColumn {
  readonly name: string;
  of(row: TableRow): string;
}

function alignedTable(
  { rows, count, dataset, extractor }: EvaluationReport,
  ...extra: readonly ExtraColumn[]
): string[] {
  const entries = Object.entries(rows);
  const names = [...new Set(entries.flatMap(([, { scores }]) => Object.keys(scores)))];
  const ofSpace = ` (${extractor})`;
  const cells = [
    [
      ...['', 'NFE', ...extra.map(({ name }) => name)],
      ...names.map((name) => name.replace(ofSpace, '')),
    ],
    ...entries.map(([name, row]) => [
      ...[name, String(row.nfe), ...extra.map((column) => column.of(row))],
      ...names.map((key) => {
        const score = row.scores[key];
        return score ? figures(score.value, 4) : '';
      }),
    ]),
  ];
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const space = extractor === undefined ? '' : ` in the space of ${extractor}`;
  return [
    `${count} samples against ${dataset}${space}`,
    ...cells.map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  '),
    ),
  ];
}

function figures(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** Numbers of steps such as "1,2,4". Throws VALUE_OUT_OF_RANGE. */
export function readSteps(text: string): number[] {
  return words(text).map((word) => {
    const steps = /^\d+$/.test(word) ? Number(word) : Number.NaN;
    if (steps >= 1 && steps <= MAX_STEPS) return steps;
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `"${word}" is no number of steps`, {
      field: 'steps',
      hint: `Give whole numbers from 1 to ${MAX_STEPS}, separated by commas: 1,2,4,8,50.`,
    });
  });
}

/** Solvers such as "euler,heun". Throws VALUE_OUT_OF_RANGE. */
export function readSolvers(text: string): TableSolver[] {
  return words(text).map((word) => {
    const solver = TABLE_SOLVERS.find((name) => name === word);
    if (solver) return solver;
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `"${word}" is no solver of a teacher`, {
      field: 'solvers',
      hint: `There are ${TABLE_SOLVERS.join(' and ')}.`,
    });
  });
}

/** What stands between commas, each once. */
export function words(text: string): string[] {
  const all = text.split(',').map((word) => word.trim());
  return [...new Set(all.filter(Boolean))];
}
