/**
 * @file The folder of a run: run.json, stats.jsonl, checkpoints, samples and the lock.
 *
 * Order of writing: statistics first, then the checkpoint. So a checkpoint's step always has its
 * statistics, and what follows it is cut when the run goes on from there.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import type { Json } from '../files/canonical-json.ts';
import type { Stretch } from '../optim/schedule.ts';
import {
  type CheckpointInfo,
  listCheckpoints,
  loadCheckpoint,
  pruneCheckpoints,
  removeLeftovers,
  writeCheckpoint,
} from './checkpoint.ts';
import type { Evaluation } from './evaluation.ts';
import { lockFolder } from './lock.ts';
import type { Outcome } from './outcome.ts';
import {
  differences,
  findRunFile,
  identityOf,
  type RunFile,
  type RunRequest,
  sessionNotices,
  stretchOf,
  thisSession,
  writeRunFile,
} from './run-file.ts';
import { StatsWriter } from './stats.ts';

export const STATS_FILE = 'stats.jsonl';

export const RESUME_POLICIES = ['auto', 'must', 'never'] as const;
/** What to do with a run of this name: `auto` goes on with it or starts it, `must` only goes on, `never` only starts. */
export type ResumePolicy = (typeof RESUME_POLICIES)[number];

export interface RunOptions {
  /** Absolute; its last part is the run's name. Made when it is not there. */
  readonly folder: string;
  readonly resume: ResumePolicy;
  /** Steps between checkpoints, of which there is one every ten minutes too; 0 = only at the end, and when the run is stopped. */
  readonly checkpointEvery: number;
  /** Checkpoints that are kept, the newest ones; at least 1. */
  readonly keepCheckpoints: number;
  /** Steps between sample pictures; 0 = none. */
  readonly sampleEvery: number;
  /** Left out = the model is not measured while it is trained. */
  readonly evaluation?: Evaluation | undefined;
  readonly request?: RunRequest;
}

/** Where an opened run stands. */
export interface Opened {
  readonly run: RunFolder;
  /** The checkpoint that it goes on from; undefined when it starts. */
  readonly checkpoint: CheckpointInfo | undefined;
  /** The last time that it went on with another number of steps; undefined when it never did. */
  readonly stretch: Stretch | undefined;
  readonly notices: readonly string[];
}

/** A run that this process holds the lock of. */
export class RunFolder implements AsyncDisposable {
  readonly folder: string;
  readonly #lock: AsyncDisposable;
  readonly #stats: StatsWriter;
  readonly #options: RunOptions;
  #record: RunFile;

  private constructor(
    lock: AsyncDisposable,
    stats: StatsWriter,
    options: RunOptions,
    record: RunFile,
  ) {
    this.folder = options.folder;
    this.#lock = lock;
    this.#stats = stats;
    this.#options = options;
    this.#record = record;
  }

  /**
   * Locks the folder and goes on with the run in it, loading its newest checkpoint into `state`, or starts one.
   * Throws RUN_LOCKED, RUN_EXISTS, RUN_MISMATCH, FILE_NOT_FOUND, CHECKPOINT_INVALID or FILE_UNWRITABLE; nothing is changed then.
   */
  static async open(
    options: RunOptions,
    configuration: Readonly<Record<string, Json>>,
    steps: number,
    state: ReadonlyMap<string, Float32Array>,
  ): Promise<Opened> {
    const { folder } = options;
    if (options.resume === 'must' && !(await findRunFile(folder))) throw nothingToResume(folder);
    const lock = await lockedFolder(folder);
    try {
      const identity = identityOf(configuration);
      const before = await findRunFile(folder);
      if (before) requireSameRun(options, before, configuration, identity);
      await removeLeftovers(folder);
      const { checkpoint, notices } = await newestCheckpoint(folder, identity, state);
      const fromStep = checkpoint?.step ?? 0;
      if (fromStep > steps) throw trainedFurther(folder, fromStep, steps);
      const session = thisSession(fromStep, steps);
      notices.push(...sessionNotices(before?.sessions.at(-1), session));
      const isStretched = before && checkpoint && before.steps !== steps;
      if (isStretched && configuration['schedule'] !== 'constant') {
        notices.push(stretched(before.steps, steps));
      }
      const record: RunFile = {
        format: 1,
        name: basename(folder),
        identity,
        configuration: JSON.parse(JSON.stringify(configuration)),
        steps,
        outcome: 'running',
        ...(options.request && { request: options.request }),
        sessions: [...(before?.sessions ?? []), session],
      };
      await writeRunFile(folder, record);
      const stats = await StatsWriter.open(join(folder, STATS_FILE), fromStep);
      const run = new RunFolder(lock, stats, options, record);
      return { run, checkpoint, stretch: stretchOf(record.sessions), notices };
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  get identity(): string {
    return this.#record.identity;
  }

  async recordStep(step: number, metrics: Readonly<Record<string, number>>): Promise<void> {
    await this.#stats.write(step, metrics);
  }

  /** Writes a checkpoint and removes those beyond the last few; returns its path. */
  async checkpoint(
    step: number,
    divergence: CheckpointInfo['divergence'],
    state: ReadonlyMap<string, Float32Array>,
  ): Promise<string> {
    await this.#stats.flush();
    const { folder, identity } = this;
    const file = await writeCheckpoint(folder, { format: 1, step, identity, divergence }, state);
    await pruneCheckpoints(this.folder, this.#options.keepCheckpoints);
    return file;
  }

  /** Records how the session ended. */
  async end(outcome: Outcome['kind']): Promise<void> {
    await this.#stats.flush();
    this.#record = { ...this.#record, outcome };
    await writeRunFile(this.folder, this.#record);
  }

  /** Never throws: what could not be written has been told by `end`, or the run has failed for that reason. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stats[Symbol.asyncDispose]();
    await this.#lock[Symbol.asyncDispose]();
  }
}

async function lockedFolder(folder: string): Promise<AsyncDisposable> {
  try {
    await mkdir(folder, { recursive: true });
    return await lockFolder(folder);
  } catch (cause) {
    if (cause instanceof FlowstepError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FlowstepError('FILE_UNWRITABLE', `no run can be kept in ${folder} (${why})`, {
      file: folder,
      hint: 'Check that you may write there and that it has room, or choose another output folder.',
      cause,
    });
  }
}

function requireSameRun(
  { folder, resume }: RunOptions,
  before: RunFile,
  configuration: Readonly<Record<string, Json>>,
  identity: string,
): void {
  if (resume === 'never') {
    throw new FlowstepError('RUN_EXISTS', `there is a run in ${folder} already`, {
      file: folder,
      hint: 'Choose another run name, or let it go on: resume auto.',
    });
  }
  if (before.identity === identity) return;
  const what = differences(before.configuration, configuration);
  throw new FlowstepError(
    'RUN_MISMATCH',
    `the run in ${folder} has another configuration (${what.join('; ')})`,
    { file: folder, hint: 'Choose another run name, or put options and files back as they were.' },
  );
}

/** Loads the newest checkpoint that can be read; a damaged one is told of and passed over. */
async function newestCheckpoint(
  folder: string,
  identity: string,
  state: ReadonlyMap<string, Float32Array>,
): Promise<{ checkpoint: CheckpointInfo | undefined; notices: string[] }> {
  const files = await listCheckpoints(folder);
  const notices: string[] = [];
  for (const { file } of files.reverse()) {
    try {
      return { checkpoint: await loadCheckpoint(file, identity, state), notices };
    } catch (error) {
      // One of another run or network is a mistake to be told; a damaged file has one before it.
      if (!(error instanceof FlowstepError) || error.code !== 'FILE_FORMAT') throw error;
      notices.push(`${error.message}: the checkpoint before it is used`);
    }
  }
  return { checkpoint: undefined, notices };
}

function stretched(before: number, steps: number): string {
  return `the learning rate was laid out over ${before} steps and is now over ${steps}, reached within a warm-up: the result is not that of one run of ${steps}`;
}

/** The weights of the step that is asked for are not there any more, and those of a later one are another model. */
function trainedFurther(folder: string, trained: number, steps: number): FlowstepError {
  return new FlowstepError(
    'RUN_MISMATCH',
    `the run in ${folder} was trained for ${trained} steps, more than the ${steps} asked for`,
    {
      file: folder,
      hint: `Give ${steps} steps a run name of their own (run_name), or ask for at least ${trained}.`,
    },
  );
}

function nothingToResume(folder: string): FlowstepError {
  return new FlowstepError('FILE_NOT_FOUND', `there is no run to resume in ${folder}`, {
    file: folder,
    hint: 'Check the run name and the output folder, or start it: resume auto.',
  });
}
