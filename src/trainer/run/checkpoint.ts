/** @file Checkpoints of a run: every vector that training needs to go on, in one safetensors file written atomically. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { LOSS_SCALE_STATE, SKIPPED_STATE } from '../optim/loss-scale.ts';
import { float32 } from '../tensor.ts';

export const CHECKPOINT_KEY = 'flowstep.checkpoint';

/** What a checkpoint says of itself. */
export const CheckpointInfoSchema = z.object({
  format: z.literal(1),
  /** Steps done. */
  step: z.int().min(0),
  /** The run that it belongs to. */
  identity: z.string(),
  divergence: z.object({ average: z.number(), seen: z.int(), reference: z.number() }),
});

export type CheckpointInfo = z.infer<typeof CheckpointInfoSchema>;

export interface CheckpointFile {
  readonly step: number;
  /** Absolute. */
  readonly file: string;
}

const NAME = /^checkpoint-(\d{9})\.safetensors$/;
/** What a killed process leaves of a file that it was writing (see atomic-write.ts, lock.ts, evaluation.ts). */
const LEFTOVER =
  /^(\.((checkpoint-\d{9}|best)\.safetensors|best\.md|run\.json)\.[0-9a-f]{12}|lock\.[0-9a-f]{12})\.tmp$/;

/** Writes `checkpoint-STEP.safetensors`; throws FILE_UNWRITABLE naming it, and then leaves nothing of it behind. */
export async function writeCheckpoint(
  folder: string,
  info: CheckpointInfo,
  state: ReadonlyMap<string, Float32Array>,
): Promise<string> {
  const file = join(folder, `checkpoint-${String(info.step).padStart(9, '0')}.safetensors`);
  const tensors = new Map([...state].map(([name, data]) => [name, float32(data, [data.length])]));
  await writeSafetensors(file, tensors, { [CHECKPOINT_KEY]: JSON.stringify(info) });
  return file;
}

/** The run's checkpoints, oldest first. */
export async function listCheckpoints(folder: string): Promise<CheckpointFile[]> {
  const names = await readdir(folder);
  return names
    .flatMap((name) => {
      const step = NAME.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), file: join(folder, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/** Removes all but the last `keep` checkpoints. */
export async function pruneCheckpoints(folder: string, keep: number): Promise<void> {
  const files = await listCheckpoints(folder);
  for (const { file } of files.slice(0, -keep)) await rm(file, { force: true });
}

/** Removes half-written files of a process that was killed; the folder must be locked. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (LEFTOVER.test(name)) await rm(join(folder, name), { force: true });
  }
}

/** What stays as it is where a checkpoint has none: it is of another precision, or older than they are. */
const OPTIONAL = [LOSS_SCALE_STATE, SKIPPED_STATE];

/**
 * Reads a checkpoint of the run `identity` into `state`; throws CHECKPOINT_INVALID and leaves `state` as it was. One from
 * before skipped updates were told apart goes on as if all had been done, as it counted them then.
 */
export async function loadCheckpoint(
  file: string,
  identity: string,
  state: ReadonlyMap<string, Float32Array>,
): Promise<CheckpointInfo> {
  const { metadata, tensors } = await readSafetensors(file);
  const info = parseCheckpointInfo(file, metadata[CHECKPOINT_KEY]);
  if (info.identity !== identity) {
    throw invalid(
      file,
      'it belongs to another run',
      'Each run keeps its checkpoints in its own folder.',
    );
  }
  const loaded = [...state].flatMap(([name, target]) => {
    const data = tensors.get(name)?.data;
    if (data instanceof Float32Array && data.length === target.length) return [{ target, data }];
    if (!data && OPTIONAL.some((part) => name.endsWith(`/${part}`))) return [];
    const found = data ? `${data.length} values, not ${target.length}` : 'none';
    throw invalid(file, `it holds a checkpoint of another network: ${name} has ${found}`);
  });
  for (const { target, data } of loaded) target.set(data);
  return info;
}

/** What the text under CHECKPOINT_KEY says; throws CHECKPOINT_INVALID. */
export function parseCheckpointInfo(file: string, text: string | undefined): CheckpointInfo {
  if (text === undefined) throw invalid(file, `it has no key ${CHECKPOINT_KEY}`);
  try {
    return CheckpointInfoSchema.parse(JSON.parse(text));
  } catch {
    throw invalid(file, `its key ${CHECKPOINT_KEY} cannot be read`);
  }
}

function invalid(file: string, what: string, hint?: string): FlowstepError {
  return new FlowstepError('CHECKPOINT_INVALID', `${file} is no checkpoint of this run: ${what}`, {
    file,
    hint: hint ?? 'Resume from the checkpoint before it: move this file out of the folder.',
  });
}
