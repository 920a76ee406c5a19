/** @file All executions of a server: one runs, the others wait; what has ended is kept for its client. */
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import type { NodeEvents, NodeHost, NodeOutcome } from '../protocol/node-host.ts';
import { thinned } from './event-stream.ts';
import { Execution, type ExecutionRequest, type Listener } from './execution.ts';

export interface ExecutionsOptions {
  readonly host: NodeHost;
  /** How long an execution goes on while nobody is attached. */
  readonly graceMs: number;
  /** How long the end of an execution is kept unless its client says that it has it. */
  readonly retentionMs: number;
  /** `error` is there when the outcome is one. */
  onEnded?(outcome: Outcome, error?: FlowstepError): void;
}

export type Outcome = 'result' | 'error' | 'interrupted';

/** Waiting executions; each holds its tensors in memory, and who waits behind so many waits too long. */
const MAX_WAITING = 64;

/** Ended executions that are kept, in number and in bytes of results; the oldest make room. */
const MAX_ENDED = 64;
const MAX_ENDED_BYTES = 4 * 1024 ** 3;

/** A process computes on one device, so there is one queue. */
export class Executions {
  readonly #options: ExecutionsOptions;
  readonly #byKey = new Map<string, Execution>();
  #waiting: Execution[] = [];
  #running: Execution | undefined;
  /** Fulfilled when the last run that was started has ended. */
  #lastRun: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(options: ExecutionsOptions) {
    this.#options = options;
  }

  get counts(): { waiting: number; running: number; ended: number } {
    const waiting = this.#waiting.length;
    const running = this.#running ? 1 : 0;
    return { waiting, running, ended: this.#byKey.size - waiting - running };
  }

  /** Throws EXECUTION_EXISTS, QUEUE_FULL or SERVER_STOPPING when `start` would. */
  requireRoom(key: string): void {
    if (this.#isStopping) throw new FlowstepError('SERVER_STOPPING', 'the server is stopping');
    if (this.#byKey.has(key)) {
      throw new FlowstepError('EXECUTION_EXISTS', `there is an execution ${key} already`, {
        hint: 'Attach to it, or take a new key for each execution.',
      });
    }
    if (this.#waiting.length >= MAX_WAITING) {
      throw new FlowstepError('QUEUE_FULL', `${MAX_WAITING} executions are waiting already`, {
        hint: 'Try again when some of them have ended.',
      });
    }
  }

  /** Queues the execution; its events go to `listener`. */
  start(request: ExecutionRequest, listener: Listener): void {
    this.requireRoom(request.key);
    const execution = new Execution(request);
    this.#byKey.set(execution.key, execution);
    execution.attach(listener, 0);
    this.#waiting.push(execution);
    execution.accepted(this.#waiting.length - 1);
    this.#startNext();
  }

  /** Events of `key` after `seq` go to `listener` from now on; throws UNKNOWN_EXECUTION. */
  attach(key: string, seq: number, listener: Listener): void {
    const execution = this.#find(key);
    if (execution.state !== 'ended') execution.clearTimer();
    execution.attach(listener, seq);
  }

  /** The listener is gone; what nobody comes back to within the grace time is cancelled. */
  detach(listener: Listener): void {
    for (const execution of this.#byKey.values()) {
      if (execution.listener !== listener) continue;
      execution.detach();
      if (execution.state === 'ended') continue;
      execution.setTimer(this.#options.graceMs, () => this.#cancel(execution));
    }
  }

  /** Ends the execution if it has not ended yet; throws UNKNOWN_EXECUTION. */
  cancel(key: string): void {
    this.#cancel(this.#find(key));
  }

  /** The client has what it wanted. Before the end it cannot have it, so nothing happens then. */
  done(key: string): void {
    const execution = this.#byKey.get(key);
    if (execution?.state === 'ended') this.#forget(execution);
  }

  /** Refuses new executions, ends those that are there and waits for the running one. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const execution of this.#byKey.values()) this.#cancel(execution);
    await this.#lastRun;
    for (const execution of this.#byKey.values()) this.#forget(execution);
  }

  #find(key: string): Execution {
    const execution = this.#byKey.get(key);
    if (execution) return execution;
    throw new FlowstepError('UNKNOWN_EXECUTION', `there is no execution ${key}`, {
      hint: 'The server was started anew, or its result was kept long enough: execute it again.',
    });
  }

  #cancel(execution: Execution): void {
    if (execution.state === 'ended') return;
    execution.abort.abort();
    if (execution.state === 'running') return;
    this.#waiting = this.#waiting.filter((other) => other !== execution);
    this.#end(execution, () => execution.failed(interrupted()), 'interrupted');
    this.#tellPositions();
  }

  #startNext(): void {
    if (this.#running) return;
    const execution = this.#waiting.shift();
    if (!execution?.request) return;
    this.#running = execution;
    this.#lastRun = this.#run(execution, execution.request);
    this.#tellPositions();
  }

  #tellPositions(): void {
    // Those that wait are about to be ended.
    if (this.#isStopping) return;
    this.#waiting.forEach((execution, position) => {
      execution.accepted(position);
    });
  }

  async #run(execution: Execution, request: ExecutionRequest): Promise<void> {
    execution.started();
    const { signal } = execution.abort;
    const events = thinned(execution.events);
    try {
      const outcome = await outcomeOf(request, signal, events, this.#options.host);
      events.end();
      this.#end(execution, () => execution.finished(outcome), 'result');
    } catch (thrown) {
      events.end();
      const error = asFlowstepError(thrown);
      // A cancelled run may fail in any way, and that is no failure.
      const shown = signal.aborted ? interrupted(error) : error;
      const outcome = shown.code === 'INTERRUPTED' ? 'interrupted' : 'error';
      this.#end(execution, () => execution.failed(shown), outcome, shown);
    }
    this.#running = undefined;
    this.#startNext();
  }

  /** `tell` publishes the last event, by which the execution ends. */
  #end(execution: Execution, tell: () => void, outcome: Outcome, error?: FlowstepError): void {
    execution.clearTimer();
    tell();
    execution.setTimer(this.#options.retentionMs, () => this.#forget(execution));
    // Behind those that ended before, so that the oldest come first.
    this.#byKey.delete(execution.key);
    this.#byKey.set(execution.key, execution);
    this.#makeRoom();
    this.#options.onEnded?.(outcome, error);
  }

  #makeRoom(): void {
    const ended = [...this.#byKey.values()].filter((e) => e.state === 'ended').reverse();
    let bytes = 0;
    ended.forEach((execution, age) => {
      bytes += execution.keptBytes;
      // The newest stays whatever its size.
      if (age > 0 && (age >= MAX_ENDED || bytes > MAX_ENDED_BYTES)) this.#forget(execution);
    });
  }

  #forget(execution: Execution): void {
    execution.clearTimer();
    execution.detach();
    this.#byKey.delete(execution.key);
  }
}

async function outcomeOf(
  { type, node, inputs }: ExecutionRequest,
  signal: AbortSignal,
  events: NodeEvents,
  host: NodeHost,
): Promise<NodeOutcome> {
  const request = { node, inputs, signal };
  if (type === 'execute') return host.execute(request, events);
  const fingerprint = await host.fingerprint(request, events);
  const outputs = fingerprint === undefined ? {} : { fingerprint };
  return { outputs, blocked: {}, files: [] };
}

function interrupted(error?: FlowstepError): FlowstepError {
  if (error?.code === 'INTERRUPTED') return error;
  return new FlowstepError('INTERRUPTED', 'interrupted', error ? { cause: error } : {});
}
