/** @file What travels through the queue of a sweep: jobs with the version that planned them, rows, failures as text. */
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode, FlowstepError } from '../../errors.ts';
import { PACKAGE_VERSION } from '../../version.ts';
import { type Job, JobSchema } from './job.ts';

const QueuedJobSchema = z.strictObject({
  version: z.string(),
  job: JobSchema,
});
type QueuedJob = z.infer<typeof QueuedJobSchema>;

/** How long a job may be silent before another worker takes it over, and how often that is looked at. */
export interface QueueTiming {
  readonly lockMs: number;
  readonly stalledCheckMs: number;
  /** How long a Redis that is gone is waited for. */
  readonly giveUpMs: number;
}

/** Compiling a large network keeps the event loop from turning for seconds. */
export const QUEUE_TIMING: QueueTiming = {
  lockMs: 60_000,
  stalledCheckMs: 15_000,
  giveUpMs: 15_000,
};

/** All workers and waiting commands of the sweeps of one name meet there. */
export function queueName(sweep: string): string {
  return `flowstep-sweep-${sweep}`;
}

/** BullMQ takes names that are numbers for its own. */
export function jobId(job: Job): string {
  return `job-${job.key}`;
}

export function queued(job: Job): QueuedJob {
  return { version: PACKAGE_VERSION, job };
}

/** Throws MESSAGE_INVALID for what this version cannot work on as the one who sent it means it. */
export function readQueuedJob(data: unknown): Job {
  const parsed = QueuedJobSchema.safeParse(data);
  const version = parsed.data?.version ?? (data as Partial<QueuedJob> | null)?.version;
  if (parsed.success && version === PACKAGE_VERSION) return parsed.data.job;
  throw new FlowstepError(
    'MESSAGE_INVALID',
    version === PACKAGE_VERSION
      ? 'the queue holds what is no job of a sweep'
      : `the job is of flowstep ${version}, the worker is ${PACKAGE_VERSION}`,
    { hint: 'Use one version everywhere: others may give other numbers.' },
  );
}

/** An error as the text that BullMQ keeps of it. */
export function failureText({ code, message }: FlowstepError): string {
  return `${code}: ${message}`;
}

export function readFailure(text: string): FlowstepError {
  const [, code, message] = /^([A-Z_]+): (.*)$/s.exec(text) ?? [];
  const isKnown = code !== undefined && Object.hasOwn(ERROR_CODES, code);
  return isKnown && message !== undefined
    ? new FlowstepError(code as ErrorCode, message)
    : new FlowstepError('ENGINE', `a worker failed: ${text}`);
}
