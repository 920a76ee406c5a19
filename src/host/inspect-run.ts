/** @file What a run folder holds: how far the run came, what can be resumed. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { listCheckpoints } from '../trainer/run/checkpoint.ts';
import { type RunFile, readRunFile } from '../trainer/run/run-file.ts';
import { STATS_FILE } from '../trainer/run/run-folder.ts';
import { readStats, type StatsLine } from '../trainer/run/stats.ts';

export interface RunInspection {
  readonly kind: 'run';
  readonly folder: string;
  readonly name: string;
  readonly identity: string;
  readonly node: string | undefined;
  readonly outcome: RunFile['outcome'];
  /** The last recorded step, and the steps in all that it was asked for. */
  readonly step: number;
  readonly steps: number;
  readonly metrics: StatsLine['metrics'];
  readonly checkpoints: readonly { readonly step: number; readonly file: string; bytes: number }[];
  /** Model files in the folder. */
  readonly models: readonly string[];
  readonly configuration: RunFile['configuration'];
  readonly sessions: RunFile['sessions'];
}

/** Throws FILE_NOT_FOUND or FILE_FORMAT when the folder holds no run that can be read. */
export async function inspectRun(folder: string): Promise<RunInspection> {
  const run = await readRunFile(folder);
  const last = (await recordedSteps(folder)).at(-1);
  const checkpoints = await Promise.all(
    (await listCheckpoints(folder)).map(async ({ step, file }) => ({
      step,
      file,
      bytes: (await stat(file)).size,
    })),
  );
  return {
    kind: 'run',
    folder,
    name: run.name,
    identity: run.identity,
    node: run.request?.node,
    outcome: run.outcome,
    step: last?.step ?? 0,
    steps: run.steps,
    metrics: last?.metrics ?? {},
    checkpoints,
    models: await modelsIn(folder),
    configuration: run.configuration,
    sessions: run.sessions,
  };
}

/** The statistics of a run; none when it was stopped before its first step. */
export async function recordedSteps(folder: string): Promise<StatsLine[]> {
  try {
    return await readStats(join(folder, STATS_FILE));
  } catch (error) {
    if (error instanceof FlowstepError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Names of the model files of a run: safetensors that are no checkpoints. */
export async function modelsIn(folder: string): Promise<string[]> {
  const checkpoints = new Set((await listCheckpoints(folder)).map(({ file }) => file));
  const names = await readdir(folder);
  return names
    .filter((name) => name.endsWith('.safetensors') && !name.startsWith('.'))
    .filter((name) => !checkpoints.has(join(folder, name)))
    .sort();
}
