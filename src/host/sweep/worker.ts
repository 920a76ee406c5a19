/** @file `flowstep sweep --worker`: works on the jobs of a sweep's queue until it is stopped. */
import { join } from 'node:path';
import { type Job as Queued, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import { asFlowstepError } from '../../errors.ts';
import { removeLockOfOtherMachine } from '../../trainer/run/lock.ts';
import { type Job, runJob } from './job.ts';
import { KeptResults } from './kept-results.ts';
import {
  failureText,
  QUEUE_TIMING,
  type QueueTiming,
  queueName,
  readQueuedJob,
} from './queue-message.ts';
import { RedisLink } from './redis.ts';
import { findRow, type Row, writeRow } from './rows.ts';
import { type RunnerOptions, sweepFolder } from './sweep.ts';

/** Workers that a job may take down with it, before it is given up. */
const MAX_STALLED = 5;
/** Between two reports of progress. */
const PROGRESS_MS = 1000;

export interface WorkerOptions extends RunnerOptions {
  /** Name of the sweep. */
  readonly sweep: string;
  readonly redisUrl: string;
  readonly timing?: QueueTiming;
  readonly onNotice: (message: string) => void;
}

/** Ends when the signal is aborted: the job at hand goes back to the queue with its checkpoint. Throws REDIS_UNAVAILABLE. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { sweep, redisUrl, onNotice, timing = QUEUE_TIMING } = options;
  const link = await RedisLink.open(redisUrl, timing.giveUpMs);
  const signal = AbortSignal.any([options.signal, link.lost]);
  const cache = new KeptResults();
  const worker = new Worker(
    queueName(sweep),
    (queued, token) => work(queued, token, { ...options, signal, cache }),
    {
      connection: link.client,
      concurrency: 1,
      lockDuration: timing.lockMs,
      stalledInterval: timing.stalledCheckMs,
      maxStalledCount: MAX_STALLED,
    },
  );
  // Without a listener these would end the process; what matters of them comes by `lost`.
  worker.on('error', () => undefined);
  worker.on('stalled', (id) => onNotice(`${id} has lost its worker and goes on with another`));
  try {
    await worker.waitUntilReady();
    onNotice(`working on the queue ${queueName(sweep)}`);
    await aborted(signal);
    link.lost.throwIfAborted();
  } finally {
    await link.close(worker);
  }
}

async function work(
  queued: Queued,
  token: string | undefined,
  options: WorkerOptions & { readonly cache: KeptResults },
): Promise<Row | null> {
  try {
    const job = readQueuedJob(queued.data);
    return await workOn(job, queued, options);
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (options.signal.aborted) {
      await queued.moveToWait(token);
      throw new WaitingError();
    }
    options.onNotice(`failed: ${error.message}`);
    // What is wrong with the job itself is so on every worker.
    if (error.kind !== 'operational') throw new UnrecoverableError(failureText(error));
    throw new Error(failureText(error), { cause: error });
  }
}

async function workOn(
  job: Job,
  queued: Queued,
  options: WorkerOptions & { readonly cache: KeptResults },
): Promise<Row | null> {
  const { roots, sweep, onNotice } = options;
  const folder = sweepFolder(roots, { name: sweep });
  const known = await findRow(folder, job.key);
  if (known) return known;
  const label = labelOfJob(job);
  onNotice(label);
  for (const run of job.ownRuns) {
    // The queue gives a job to one worker at a time: one that still has the lock on another machine is gone.
    await removeLockOfOtherMachine(join(roots.output, 'runs', run));
  }
  let toldAt = Number.NEGATIVE_INFINITY;
  const row = await runJob(job, {
    ...options,
    onEvent: (event) => {
      if (event.kind !== 'progress' || performance.now() - toldAt < PROGRESS_MS) return;
      toldAt = performance.now();
      const { counts, step, steps } = event.progress;
      const node = event.node.title ?? event.node.id;
      // Progress that cannot be told is no reason to fail.
      void queued.updateProgress({ label, node, counts, step, steps }).catch(() => undefined);
    },
  });
  if (job.measures.length === 0) return null;
  await writeRow(folder, row);
  return row;
}

function labelOfJob({ settings, measures }: Job): string {
  const text = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return text.join(' ') || (measures.length === 0 ? 'what several rows need' : 'the only row');
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}
