/** @file Runs the rows of a sweep by way of a queue in Redis: puts them there, and takes what workers made of them. */
import { Queue, type Job as Queued, QueueEvents } from 'bullmq';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import type { Job } from './job.ts';
import { labelOf, type Plan, type PlannedRow } from './plan.ts';
import {
  jobId,
  QUEUE_TIMING,
  type QueueTiming,
  queued,
  queueName,
  readFailure,
} from './queue-message.ts';
import { RedisLink } from './redis.ts';
import { RowSchema } from './rows.ts';
import type { RowHandler, Runner } from './sweep.ts';

/** For what may pass: a disk that is full, a device that is taken. */
const ATTEMPTS = 3;
const FIRST_RETRY_MS = 2000;
/** Results that nobody took. */
const KEEP_SECONDS = 7 * 24 * 3600;

const ProgressSchema = z.object({
  label: z.string(),
  node: z.string(),
  step: z.int(),
  steps: z.int(),
  counts: z.string().optional(),
});

/** A runner that waits for workers. It throws REDIS_UNAVAILABLE when the queue is gone, INTERRUPTED when it is stopped. */
export function queueRunner(redisUrl: string, timing: QueueTiming = QUEUE_TIMING): Runner {
  return async (plan, pending, handler, { signal }) => {
    const link = await RedisLink.open(redisUrl, timing.giveUpMs);
    const connection = link.client;
    const name = queueName(plan.sweep.name);
    const queue = new Queue(name, { connection });
    const events = new QueueEvents(name, { connection });
    // Without a listener these would end the process; what matters of them comes by `lost`.
    queue.on('error', () => undefined);
    events.on('error', () => undefined);
    try {
      await events.waitUntilReady();
      const stop = AbortSignal.any([signal, link.lost]);
      await new Waiting(queue, events, plan, pending, handler).finish(stop);
    } catch (thrown) {
      link.lost.throwIfAborted();
      throw thrown;
    } finally {
      await link.close(events, queue);
    }
  };
}

/** A row, or a run that rows need. */
interface Entry {
  readonly job: Job;
  /** Undefined for what rows need. */
  readonly row: PlannedRow | undefined;
  /** Name of the run, for those that others need. */
  readonly gives: string | undefined;
  readonly needs: Set<string>;
}

/** The rows that are not there yet. */
class Waiting {
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #handler: RowHandler;
  /** By id in the queue. */
  readonly #entries: Map<string, Entry>;
  /** Results are taken one after the other. */
  #work = Promise.resolve();
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  constructor(
    queue: Queue,
    events: QueueEvents,
    plan: Plan,
    pending: readonly PlannedRow[],
    handler: RowHandler,
  ) {
    this.#queue = queue;
    this.#events = events;
    this.#handler = handler;
    const wanted = new Set(pending.flatMap((row) => row.needs));
    const shared = plan.shared.filter(({ name }) => wanted.has(name));
    const entries: Entry[] = [
      ...shared.map((one) => ({
        job: one.job,
        row: undefined,
        gives: one.name,
        needs: new Set(one.needs),
      })),
      ...pending.map((row) => ({
        job: row.job,
        row,
        gives: undefined,
        needs: new Set(row.needs),
      })),
    ];
    this.#entries = new Map(entries.map((entry) => [jobId(entry.job), entry]));
  }

  /** Resolves once every row is done or has failed. */
  async finish(stop: AbortSignal): Promise<void> {
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    const onStop = () => this.#fail(new FlowstepError('INTERRUPTED', 'interrupted'));
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop, { once: true });
    const look = ({ jobId: id }: { jobId: string }) => this.#then(() => this.#look(id));
    this.#events.on('completed', look);
    this.#events.on('failed', look);
    this.#events.on('progress', ({ data }) => this.#tellProgress(data));
    this.#events.on('stalled', ({ jobId: id }) => this.#tellStalled(id));
    this.#then(() => this.#addReady());
    this.#then(() => this.#tellWorkers());
    try {
      await ended;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work.then(step).catch((thrown) => this.#fail(thrown));
  }

  /** Puts what needs nothing more into the queue; what is there already stays. */
  async #addReady(): Promise<void> {
    for (const [id, { job, needs }] of [...this.#entries]) {
      if (needs.size > 0) continue;
      const there = await this.#queue.getJob(id);
      if (there && (await this.#take(id, there))) continue;
      if (there && !(await there.isFailed())) continue;
      if (there) await there.remove();
      await this.#queue.add('job', queued(job), {
        jobId: id,
        attempts: ATTEMPTS,
        backoff: { type: 'exponential', delay: FIRST_RETRY_MS },
        removeOnComplete: { age: KEEP_SECONDS },
        removeOnFail: { age: KEEP_SECONDS },
      });
    }
    if (this.#entries.size === 0) this.#end();
  }

  /** Looks at a job that has completed or failed. */
  async #look(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    const there = entry && (await this.#queue.getJob(id));
    if (!entry || !there || (await this.#take(id, there))) return;
    if (!(await there.isFailed())) return;
    // A run that rows need may have failed for want of what another worker has: the rows find out themselves.
    if (entry.row) this.#handler.failed(entry.row, readFailure(there.failedReason ?? ''));
    await this.#finished(id, entry);
  }

  /** Takes the result of a job, if it has one. */
  async #take(id: string, there: Queued): Promise<boolean> {
    const entry = this.#entries.get(id);
    if (!entry || !(await there.isCompleted())) return false;
    if (entry.row) await this.#handler.done(RowSchema.parse(there.returnvalue));
    // The row is kept in its file; who deletes that wants it made anew.
    await there.remove();
    await this.#finished(id, entry);
    return true;
  }

  async #finished(id: string, { gives }: Entry): Promise<void> {
    this.#entries.delete(id);
    if (gives !== undefined) {
      for (const { needs } of this.#entries.values()) needs.delete(gives);
    }
    if (this.#entries.size === 0) this.#end();
    else if (gives !== undefined) this.#then(() => this.#addReady());
  }

  #tellProgress(data: unknown): void {
    const progress = ProgressSchema.safeParse(data);
    if (!progress.success) return;
    const { label, node, counts, step, steps } = progress.data;
    const what = counts === undefined ? {} : { counts };
    this.#handler.tell({ kind: 'progress', label, node, step: { step, steps, ...what } });
  }

  #tellStalled(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    const label = entry.row ? labelOf(entry.row) : 'what several rows need';
    this.#handler.tell({
      kind: 'notice',
      message: `${label}: its worker is gone, another goes on`,
    });
  }

  async #tellWorkers(): Promise<void> {
    const count = await this.#queue.getWorkersCount();
    const message =
      count === 0
        ? 'no worker is there yet: start some with `flowstep sweep FILE --worker`'
        : `${count} ${count === 1 ? 'worker is' : 'workers are'} there`;
    this.#handler.tell({ kind: 'notice', message });
  }
}
