/** @file The unit of work of a sweep, complete in itself, so that it can be sent to another process. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { asFlowstepError, bug, FlowstepError } from '../../errors.ts';
import { openDataset } from '../../nodes/datasets.ts';
import { modelKey, openModel } from '../../nodes/flow-models.ts';
import { FlowDatasetSchema, FlowModelSchema } from '../../nodes/handles.ts';
import type { Roots } from '../../nodes/node-context.ts';
import type { NodeRegistry } from '../../nodes/registry.ts';
import { resolveInside } from '../../nodes/root-files.ts';
import { atomicWrite } from '../../trainer/files/atomic-write.ts';
import { canonicalJson } from '../../trainer/files/canonical-json.ts';
import { sha256 } from '../../trainer/files/hash.ts';
import { FeatureExtractor } from '../../trainer/metrics/extractor.ts';
import type { Figures } from '../../trainer/metrics/figures.ts';
import { measureModel } from '../../trainer/metrics/measure-model.ts';
import { thisSession } from '../../trainer/run/run-file.ts';
import { type ExecutionEvent, executeWorkflow, type NodeRun } from '../executor.ts';
import { parseWorkflow } from '../workflow.ts';
import type { KeptResults } from './kept-results.ts';
import { measureReport } from './measure-report.ts';
import {
  FigureSchema,
  PicturesMeasureSchema,
  PointsMeasureSchema,
  ReportMeasureSchema,
} from './measure-schema.ts';
import type { Row } from './rows.ts';
import { everyNodeWanted } from './wanted-nodes.ts';

/** A measure whose nodes are ids, with the start of its columns' names. */
const JobMeasureSchema = z.union([
  PointsMeasureSchema.required({ data: true, as: true }),
  PicturesMeasureSchema.required({ data: true, as: true }).extend({
    /** Hash of the extractor. */
    seenBy: z.string(),
  }),
  ReportMeasureSchema.required({ as: true }),
]);
export type JobMeasure = z.infer<typeof JobMeasureSchema>;

export const JobSchema = z.strictObject({
  /** Hash of all that decides the numbers. */
  key: z.string(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** API form; each node in it is wanted. */
  workflow: z.record(z.string(), z.unknown()),
  /** None for a job that only trains what others need. */
  measures: z.array(JobMeasureSchema),
  /** Training runs that no other job works on. */
  ownRuns: z.array(z.string()),
});
export type Job = z.infer<typeof JobSchema>;

export interface JobOptions {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
  readonly cache: KeptResults;
  readonly signal: AbortSignal;
  readonly onEvent?: (event: ExecutionEvent) => void;
  /** Something that the user should know and that stops nothing. */
  readonly onNotice?: (message: string) => void;
}

/** Raise it when the same model and measure give another number. */
const MEASURES_VERSION = 1;
/** Of the noise: the same for all rows. */
const MEASURE_SEED = 1;
/** Relative to the output folder. */
const MEASURES_FOLDER = 'cache/measures';
/** Between two looks at whether another process is done with a run: it takes seconds at least. */
const LOCK_POLL_MS = 500;

const DIVERGED: ReadonlySet<string> = new Set(['DIVERGED', 'NON_FINITE_LOSS']);

/** Runs the workflow and measures. A run that diverges has that as its result; all else that goes wrong is thrown. */
export async function runJob(job: Job, options: JobOptions): Promise<Row> {
  const started = performance.now();
  const ended = (result: Pick<Row, 'outcome' | 'problem' | 'figures'>): Row => {
    const { device, threads, processor, versions } = thisSession(0, 0);
    const seconds = (performance.now() - started) / 1000;
    const made = { at: new Date().toISOString(), seconds, device, threads, processor, versions };
    return { format: 1, key: job.key, settings: job.settings, ...result, made };
  };
  try {
    const runs = await execute(job, options);
    const figures: Record<string, Figures[string]> = {};
    for (const measure of job.measures) {
      for (const [name, figure] of Object.entries(await figuresOf(measure, runs, options))) {
        figures[`${measure.as}/${name}`] = figure;
      }
    }
    return ended({ outcome: 'finished', figures });
  } catch (thrown) {
    const { code, message } = asFlowstepError(thrown);
    if (!DIVERGED.has(code)) throw thrown;
    return ended({ outcome: 'diverged', problem: { code, message }, figures: {} });
  }
}

/** Waits where another process trains what this one needs too: it is done once, and found then. */
async function execute(job: Job, options: JobOptions): Promise<readonly NodeRun[]> {
  const registry = everyNodeWanted(options.registry);
  const workflow = parseWorkflow(job.workflow, registry, 'the job');
  let isTold = false;
  for (;;) {
    try {
      return await executeWorkflow(workflow, { ...options, registry });
    } catch (thrown) {
      const error = asFlowstepError(thrown);
      if (error.code !== 'RUN_LOCKED') throw error;
      if (!isTold) options.onNotice?.(`waiting: ${error.message}. ${error.hint ?? ''}`);
      isTold = true;
    }
    await wait(LOCK_POLL_MS, undefined, { signal: options.signal }).catch(() => {
      throw new FlowstepError('INTERRUPTED', 'interrupted');
    });
  }
}

async function figuresOf(
  measure: JobMeasure,
  runs: readonly NodeRun[],
  options: JobOptions,
): Promise<Figures> {
  if ('report' in measure) return measureReport(outputsOf(runs, measure.report)['report'], measure);
  const { signal, roots } = options;
  const handle = first(FlowModelSchema, outputsOf(runs, measure.model));
  const data = first(FlowDatasetSchema, outputsOf(runs, measure.data));
  if (!handle || !data) throw bug('a measured node gave neither model nor data');
  const context = { roots, signal, onProgress: () => undefined };
  // A teacher that many rows share is measured once.
  const { as: _, model: __, data: ___, ...what } = measure;
  const key = canonicalJson([MEASURES_VERSION, modelKey(handle), data, what]);
  return keptFigures(roots, key, async () => {
    const isPictures = 'extractor' in measure;
    if (isPictures === (data.kind === 'points')) {
      throw new FlowstepError('DATASET_INVALID', `${measure.as} is measured against ${data.kind}`, {
        node: measure.data,
        hint: 'Pictures are measured with an "extractor", points without one.',
      });
    }
    const model = await openModel(handle, context);
    const { metrics, samples: count, steps } = measure;
    const draws = isPictures ? 1 : measure.draws;
    using extractor = isPictures
      ? await FeatureExtractor.open(await resolveInside(roots, 'models', measure.extractor))
      : undefined;
    const options = { metrics, count, draws, steps, seed: MEASURE_SEED };
    const dataset = await openDataset(data, context);
    return (await measureModel(model, dataset, extractor, options, signal)).figures;
  });
}

/** The first output that the schema reads. */
function first<T>(schema: z.ZodType<T>, outputs: Readonly<Record<string, unknown>>): T | undefined {
  for (const value of Object.values(outputs)) {
    const read = schema.safeParse(value);
    if (read.success) return read.data;
  }
  return undefined;
}

function outputsOf(runs: readonly NodeRun[], id: string): Readonly<Record<string, unknown>> {
  const run = runs.find((one) => one.node === id);
  if (!run) throw bug(`node ${id} of a job did not run`);
  return run.outputs;
}

const KeptFiguresSchema = z.record(z.string(), FigureSchema);

async function keptFigures(
  roots: Roots,
  key: string,
  measure: () => Promise<Figures>,
): Promise<Figures> {
  const folder = join(roots.output, MEASURES_FOLDER);
  const file = join(folder, `${sha256(key)}.json`);
  try {
    return KeptFiguresSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // Not there, or damaged: measured anew.
  }
  const figures = await measure();
  await mkdir(folder, { recursive: true });
  await atomicWrite(file, [new TextEncoder().encode(JSON.stringify(figures))]);
  return figures;
}
