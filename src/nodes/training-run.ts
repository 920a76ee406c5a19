/** @file The folder of a training run, and the loop that records it: statistics, progress, cancellation. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import type { TrainEvent } from '../trainer/run/events.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { saveModel } from '../trainer/run/model-file.ts';
import type { Outcome } from '../trainer/run/outcome.ts';
import type { FlowReportHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, nameFile } from './root-files.ts';
import { StatsWriter } from './stats-file.ts';

export interface TrainingRun {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
}

const STATS_FILE = 'stats.jsonl';
/** Runs of one name before we refuse; more are a loop that has gone wrong. */
const MAX_RUNS_PER_NAME = 10_000;

/** Makes runs/NAME, or runs/NAME-2, -3... when it is taken. mkdir itself decides, so two processes cannot share one. */
export async function createRun(context: NodeContext, wanted: string): Promise<TrainingRun> {
  const runs = join(context.roots.output, 'runs');
  try {
    await mkdir(runs, { recursive: true });
    for (let n = 1; n <= MAX_RUNS_PER_NAME; n++) {
      const name = n === 1 ? wanted : `${wanted}-${n}`;
      const folder = join(runs, name);
      if (await makeFolder(folder)) return { name, folder, path: `runs/${name}` };
    }
  } catch (cause) {
    throw new FlowstepError('FILE_UNWRITABLE', `no run folder can be made in ${runs}`, {
      file: runs,
      hint: 'Check that you may write there, or choose another output folder.',
      cause,
    });
  }
  throw new FlowstepError('FILE_UNWRITABLE', `${runs} holds too many runs named ${wanted}`, {
    hint: 'Choose another run name, or delete old runs.',
  });
}

/** False when it exists. */
async function makeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Runs the training to its end; each event becomes a line of stats.jsonl and progress of the node. */
export async function recordRun<Result>(
  training: AsyncGenerator<TrainEvent, Result>,
  run: TrainingRun,
  context: NodeContext,
): Promise<Result> {
  await using stats = await StatsWriter.open(join(run.folder, STATS_FILE));
  for (;;) {
    const next = await training.next();
    if (next.done) return next.value;
    await stats.write(next.value);
    context.onProgress(next.value);
  }
}

/** Throws unless the training went to its end. Call it once the models are stored: they are the last good state. */
export function requireFinished(outcome: Outcome, run: TrainingRun): void {
  const kept = `What was trained until then is in ${run.folder}.`;
  switch (outcome.kind) {
    case 'finished':
      return;
    case 'interrupted':
      throw new FlowstepError('INTERRUPTED', 'training interrupted', { hint: kept });
    case 'diverged': {
      const { code, message, details } = outcome.problem;
      throw new FlowstepError(code, message, {
        ...details,
        hint: [details.hint, kept].filter(Boolean).join(' '),
      });
    }
  }
}

/** Writes a model of the run and names it. */
export async function storeModel(
  run: TrainingRun,
  name: 'teacher' | 'student' | 'online',
  model: FlowModel,
  context: NodeContext,
): Promise<FileRef> {
  const file = `${name}.safetensors`;
  await saveModel(join(run.folder, file), model);
  return nameFile(context.roots, 'output', `${run.path}/${file}`);
}

/** The run's statistics as a handle. */
export async function reportOf(
  run: TrainingRun,
  title: string,
  context: NodeContext,
): Promise<FlowReportHandle> {
  const ref = await nameFile(context.roots, 'output', `${run.path}/${STATS_FILE}`);
  return { type: 'FLOW_REPORT', title, ...ref };
}
