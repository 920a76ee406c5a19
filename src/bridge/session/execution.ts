/** @file One execution: it belongs to its key, whichever socket listens to it. */
import type { ServerMessage } from '../protocol/messages.ts';
import type { NodeEvents, NodeOutcome } from '../protocol/node-host.ts';
import { type TensorSpec, takeTensors, type WireTensor } from '../protocol/tensors.ts';
import { EventLog, type ExecutionEvent, type TextEvent } from './event-log.ts';
import { errorMessage } from './wire-error.ts';

/** Takes the events of executions; one at a time listens to an execution. */
export interface Listener {
  onEvent(event: ExecutionEvent): void;
}

/** What a client asked for, its tensors in place. */
export interface ExecutionRequest {
  /** To run the node, or to tell what its result depends on. */
  readonly type: 'execute' | 'fingerprint';
  readonly key: string;
  readonly node: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

export type ExecutionState = 'waiting' | 'running' | 'ended';

type Distributed<Message> = Message extends unknown ? Omit<Message, 'key' | 'seq'> : never;
type EventMessage = Extract<ServerMessage, { type: TextEvent['kind'] }>;

const NO_TENSORS: ReadonlyMap<string, WireTensor> = new Map();

export class Execution {
  readonly key: string;
  readonly abort = new AbortController();
  readonly #log = new EventLog();
  /** Undefined once it has ended, as its tensors may be large. */
  #request: ExecutionRequest | undefined;
  #state: ExecutionState = 'waiting';
  #seq = 0;
  #listener: Listener | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(request: ExecutionRequest) {
    this.key = request.key;
    this.#request = request;
  }

  get request(): ExecutionRequest | undefined {
    return this.#request;
  }

  get state(): ExecutionState {
    return this.#state;
  }

  get listener(): Listener | undefined {
    return this.#listener;
  }

  /** Bytes that are kept of what it gave. */
  get keptBytes(): number {
    return this.#log.byteLength;
  }

  /** Sends what is kept after `seq`, then everything that happens. A former listener hears no more. */
  attach(listener: Listener, seq: number): void {
    this.#listener = listener;
    for (const event of this.#log.after(seq)) listener.onEvent(event);
  }

  detach(): void {
    this.#listener = undefined;
  }

  /** Calls once, in `ms`, unless another time is set before; never keeps the process alive. */
  setTimer(ms: number, call: () => void): void {
    this.clearTimer();
    this.#timer = setTimeout(call, ms).unref();
  }

  clearTimer(): void {
    clearTimeout(this.#timer);
  }

  accepted(position: number): void {
    this.#tell({ type: 'accepted', position });
  }

  started(): void {
    this.#state = 'running';
    this.#tell({ type: 'started' });
  }

  /** What the node tells becomes events. Numbers that are not finite have no JSON. */
  readonly events: NodeEvents = {
    progress: ({ step, steps, stepsPerSecond, etaSeconds, counts }) =>
      this.#tell({
        type: 'progress',
        step,
        steps,
        stepsPerSecond: finite(stepsPerSecond),
        etaSeconds: finite(etaSeconds),
        ...(counts !== undefined && { counts }),
      }),
    metrics: ({ step, metrics }) =>
      this.#tell({
        type: 'metrics',
        step,
        metrics: Object.fromEntries(
          Object.entries(metrics).map(([name, value]) => [name, finite(value)]),
        ),
      }),
    text: (text) => this.#tell({ type: 'text', text }),
    preview: ({ step, mime, width, height, bytes }) => {
      const seq = ++this.#seq;
      const { key } = this;
      const header = { kind: 'preview', key, seq, step, mime, width, height } as const;
      this.#publish({ kind: 'preview', key, seq, header, bytes });
    },
  };

  /** The end, with what the node gave; throws when that cannot be sent. */
  finished({ outputs, blocked, files }: NodeOutcome): void {
    const taken = takeTensors(outputs);
    this.#tell(
      {
        type: 'result',
        // An object stays one.
        outputs: taken.value as Record<string, unknown>,
        blocked: { ...blocked },
        files: [...files],
        tensors: [...taken.tensors].map(([name, tensor]) => specOf(name, tensor)),
      },
      taken.tensors,
    );
    this.#end();
  }

  /** The end, without a result. */
  failed(error: unknown): void {
    const { key: _, seq: __, ...message } = errorMessage(error);
    this.#tell(message);
    this.#end();
  }

  #end(): void {
    this.#state = 'ended';
    this.#request = undefined;
  }

  #tell(message: Distributed<EventMessage>, tensors = NO_TENSORS): void {
    const { key } = this;
    const seq = this.#seq + 1;
    const text = JSON.stringify({ ...message, key, seq });
    this.#seq = seq;
    this.#publish({ kind: message.type, key, seq, text, tensors });
  }

  #publish(event: ExecutionEvent): void {
    this.#log.add(event);
    this.#listener?.onEvent(event);
  }
}

function specOf(name: string, { dtype, shape }: WireTensor): TensorSpec {
  return { name, dtype, shape: [...shape] };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
