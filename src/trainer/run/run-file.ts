/** @file run.json: everything needed to repeat a run, and who has worked on it. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { PACKAGE_VERSION } from '../../version.ts';
import { atomicWrite } from '../files/atomic-write.ts';
import { canonicalJson, type Json } from '../files/canonical-json.ts';
import { sha256 } from '../files/hash.ts';
import { readError } from '../files/read-error.ts';
import type { Stretch } from '../optim/schedule.ts';
import { engine } from '../runtime/engine.ts';
import { PRECISIONS, precisionName } from '../runtime/providers.ts';

export const RUN_FILE = 'run.json';

/** One process that worked on the run. */
const SessionSchema = z.object({
  started: z.string(),
  fromStep: z.int().min(0),
  /** Steps in all that it was asked for. */
  steps: z.int().min(0),
  device: z.string(),
  /** Absent = fp32. */
  precision: z.enum(PRECISIONS).optional(),
  threads: z.int().min(1),
  processor: z.string(),
  versions: z.object({ flowstep: z.string(), onnxruntime: z.string(), node: z.string() }),
});

export type Session = z.infer<typeof SessionSchema>;

const RequestSchema = z.object({
  node: z.string(),
  inputs: z.record(z.string(), z.json()),
  /** Where the files that inputs name were looked for, absolute; absent in runs of before. */
  folders: z.object({ data: z.array(z.string()), models: z.array(z.string()) }).optional(),
});

export const RunFileSchema = z.object({
  format: z.literal(1),
  name: z.string(),
  /** sha256 of the configuration: runs of one identity differ in their number of steps only. */
  identity: z.string(),
  configuration: z.record(z.string(), z.json()),
  steps: z.int().min(0),
  outcome: z.enum(['running', 'finished', 'interrupted', 'diverged']),
  /** The node and its inputs that asked for the run, so that it can be resumed without the workflow. */
  request: RequestSchema.optional(),
  sessions: z.array(SessionSchema),
});

export type RunFile = z.infer<typeof RunFileSchema>;
export type RunRequest = NonNullable<RunFile['request']>;

/** A run's identity: the hash of everything that decides its numbers, without the number of steps. */
export function identityOf(configuration: Readonly<Record<string, Json>>): string {
  return sha256(canonicalJson(configuration));
}

/** The run in `folder`; undefined when there is none. Throws FILE_FORMAT when run.json is damaged. */
export async function findRunFile(folder: string): Promise<RunFile | undefined> {
  const file = join(folder, RUN_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw readError(file, error);
  }
  try {
    return RunFileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not the record of a run`, {
      file,
      hint: 'Choose another run name; this run cannot be resumed.',
      cause,
    });
  }
}

/** The run in `folder`; throws FILE_NOT_FOUND when there is none. */
export async function readRunFile(folder: string): Promise<RunFile> {
  const found = await findRunFile(folder);
  if (found) return found;
  throw new FlowstepError('FILE_NOT_FOUND', `there is no run in ${folder}`, {
    file: join(folder, RUN_FILE),
    hint: 'A run is a folder with a run.json, below runs/ in the output folder.',
  });
}

export async function writeRunFile(folder: string, run: RunFile): Promise<void> {
  const text = `${JSON.stringify(run, null, 2)}\n`;
  await atomicWrite(join(folder, RUN_FILE), [new TextEncoder().encode(text)]);
}

/** This process as a session of a run. */
export function thisSession(fromStep: number, steps: number): Session {
  const on = engine();
  const { library, threads, api } = on;
  const precision = precisionName(on);
  return {
    started: new Date().toISOString(),
    fromStep,
    steps,
    device: library.device,
    ...(precision !== 'fp32' && { precision }),
    threads,
    processor: cpus()[0]?.model ?? 'unknown',
    versions: { flowstep: PACKAGE_VERSION, onnxruntime: api.version, node: process.versions.node },
  };
}

/** The last time that a run went on with another number of steps than in the session before; undefined if it never did. */
export function stretchOf(sessions: readonly Session[]): Stretch | undefined {
  const steps = sessions.at(-1)?.steps;
  const before = sessions.findLastIndex((session) => session.steps !== steps);
  const first = sessions[before + 1];
  if (before < 0 || !first || first.fromStep === 0) return undefined;
  return { at: first.fromStep, from: sessions[before]!.steps };
}

/** What in this session may change the last bits of the numbers, compared to the one before. */
export function sessionNotices(before: Session | undefined, now: Session): string[] {
  if (!before) return [];
  const differs = (what: string, then: string | number, here: string | number) =>
    then === here
      ? []
      : [
          `${what} was ${then} before and is ${here} now: the numbers will differ in their last bits`,
        ];
  return [
    ...differs('device', before.device, now.device),
    ...differs('precision', before.precision ?? 'fp32', now.precision ?? 'fp32'),
    ...differs('number of threads', before.threads, now.threads),
    ...differs('processor', before.processor, now.processor),
    ...differs('ONNX Runtime', before.versions.onnxruntime, now.versions.onnxruntime),
  ];
}

/** The members of two configurations that differ, for people: `learningRate: 0.001, here 0.002`, `online.updates: 1, here 2`. */
export function differences(
  then: Readonly<Record<string, Json>>,
  now: Readonly<Record<string, Json>>,
): string[] {
  const names = new Set([...Object.keys(then), ...Object.keys(now)]);
  return [...names].flatMap((name) => difference(name, then[name], now[name]));
}

function difference(name: string, then: Json | undefined, now: Json | undefined): string[] {
  const [a, b] = [then, now].map((value) => (value === undefined ? '' : canonicalJson(value)));
  if (a === b) return [];
  const [data, dataNow] = [DataSchema.safeParse(then), DataSchema.safeParse(now)];
  if (data.success && dataNow.success) {
    const changed = 'is not what it was (its files, or how they are read)';
    if (data.data.name === dataNow.data.name) return [`${name}: ${data.data.name} ${changed}`];
    return [`${name}: ${data.data.name}, here ${dataNow.data.name}`];
  }
  if (isRecord(then) && isRecord(now)) {
    return differences(then, now).map((text) => `${name}.${text}`);
  }
  // Two hashes tell people nothing else.
  if (isHash(then) && isHash(now)) return [`${name}: another model, or it was changed`];
  return [`${name}: ${shown(then)}, here ${shown(now)}`];
}

/** Data and prompts in a configuration. */
const DataSchema = z.strictObject({ name: z.string(), hash: z.string() });

function isRecord(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isHash(value: Json | undefined): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

function shown(value: Json | undefined): string {
  if (value === undefined) return 'not set';
  const text = canonicalJson(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
