/**
 * @file What a run had made when it finished a number of steps, below steps/000000020 in its folder. It stays as it was
 * when the run goes on to more: handles name these files, so that two nodes may ask one run for two numbers of steps.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { atomicLink, atomicWrite } from '../trainer/files/atomic-write.ts';
import { makeFolder } from '../trainer/files/make-folder.ts';
import { listCheckpoints } from '../trainer/run/checkpoint.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { cardPath } from '../trainer/run/model-card.ts';
import { saveModel } from '../trainer/run/model-file.ts';
import { findRunFile } from '../trainer/run/run-file.ts';
import { STATS_FILE } from '../trainer/run/run-folder.ts';
import { linesUntil } from '../trainer/run/stats.ts';
import type { Roots } from './node-context.ts';
import { type FileRef, nameFile } from './root-files.ts';

const STEPS_FOLDER = 'steps';
const DIGITS = 9;

/** Numbers of steps that a run keeps: a graph compares a few, and who raises them again and again must not fill the disk. */
export const KEPT_STEPS = 4;

/** A run's folder, absolute and relative to the output folder with forward slashes. */
interface Folder {
  readonly folder: string;
  readonly path: string;
}

export interface FinishedSteps<Name extends string> {
  readonly models: Readonly<Record<Name, FileRef>>;
  /** The run's statistics until then. */
  readonly stats: FileRef;
}

/**
 * Writes the models and the statistics of `step`, and links the models into the run's folder, as the newest; removes the
 * oldest that are kept, and returns which. The run may be another process's by now: nothing of its folder is taken but
 * lines of statistics, which stay.
 */
export async function keepFinished<Name extends string>(
  run: Folder,
  step: number,
  models: Readonly<Record<Name, FlowModel>>,
  roots: Roots,
): Promise<FinishedSteps<Name> & { readonly removed: readonly number[] }> {
  const folder = join(run.folder, STEPS_FOLDER, nameOf(step));
  await makeFolder(folder);
  const names = Object.keys(models) as Name[];
  for (const name of names) {
    const [kept, newest] = [join(folder, modelFile(name)), join(run.folder, modelFile(name))];
    await saveModel(kept, models[name]);
    await atomicLink(kept, newest);
    await atomicLink(cardPath(kept), cardPath(newest));
  }
  const stats = await readFile(join(run.folder, STATS_FILE));
  await atomicWrite(join(folder, STATS_FILE), [linesUntil(stats, step)]);
  const removed = await removeOldest(run, step);
  return { ...(await refsOf(run, step, names, roots)), removed };
}

/**
 * What the run had made after `steps` steps, where it has gone on since; undefined where it has not, is another run, or
 * has not kept that.
 */
export async function findFinished<Name extends string>(
  run: Folder,
  { identity, steps }: { readonly identity: string; readonly steps: number },
  names: readonly Name[],
  roots: Roots,
): Promise<FinishedSteps<Name> | undefined> {
  // A record that cannot be read is told of when the run is opened.
  const record = await findRunFile(run.folder).catch(() => undefined);
  if (record?.identity !== identity) return undefined;
  // A run that ended early on its way to more steps has not made what one of these steps makes.
  if (!record.sessions.some((session) => session.steps === steps)) return undefined;
  const newest = (await listCheckpoints(run.folder)).at(-1);
  if (!newest || newest.step <= steps) return undefined;
  try {
    return await refsOf(run, steps, names, roots);
  } catch (error) {
    if (error instanceof FlowstepError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

export const modelFile = (name: string): string => `${name}.safetensors`;

const nameOf = (step: number): string => String(step).padStart(DIGITS, '0');

async function refsOf<Name extends string>(
  { path }: Folder,
  step: number,
  names: readonly Name[],
  roots: Roots,
): Promise<FinishedSteps<Name>> {
  const named = (file: string) =>
    nameFile(roots, 'output', `${path}/${STEPS_FOLDER}/${nameOf(step)}/${file}`);
  const models = {} as Record<Name, FileRef>;
  for (const name of names) models[name] = await named(modelFile(name));
  return { models, stats: await named(STATS_FILE) };
}

/** All but those of `step` and of the last numbers of steps before. */
async function removeOldest({ folder }: Folder, step: number): Promise<number[]> {
  const entries = await readdir(join(folder, STEPS_FOLDER));
  const others = entries.filter((name) => /^\d{9}$/.test(name) && name !== nameOf(step)).sort();
  const old = others.slice(0, Math.max(0, others.length + 1 - KEPT_STEPS));
  for (const name of old) {
    // One that another program holds open is removed the next time.
    const gone = rm(join(folder, STEPS_FOLDER, name), { recursive: true, force: true });
    await gone.catch(() => undefined);
  }
  return old.map(Number);
}
