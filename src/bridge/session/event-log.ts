/** @file The events of one execution, and what is kept of them for a client that comes back. */
import type { PreviewFrame } from '../protocol/frame.ts';
import type { WireTensor } from '../protocol/tensors.ts';

export type EventKind =
  | 'accepted'
  | 'started'
  | 'progress'
  | 'metrics'
  | 'preview'
  | 'text'
  | 'result'
  | 'error';

interface EventFields {
  readonly kind: EventKind;
  readonly key: string;
  readonly seq: number;
}

/** A text message, encoded once however often it is sent; a result's tensors go before it. */
export interface TextEvent extends EventFields {
  readonly kind: Exclude<EventKind, 'preview'>;
  readonly text: string;
  readonly tensors: ReadonlyMap<string, WireTensor>;
}

export interface PreviewEvent extends EventFields {
  readonly kind: 'preview';
  readonly header: PreviewFrame;
  readonly bytes: Uint8Array;
}

export type ExecutionEvent = TextEvent | PreviewEvent;

/** Notices kept of an execution; the oldest make room, as a run may tell thousands. */
const MAX_TEXTS = 200;

/** The latest event of each kind, and the latest notices. */
export class EventLog {
  readonly #latest = new Map<EventKind, ExecutionEvent>();
  #texts: ExecutionEvent[] = [];

  add(event: ExecutionEvent): void {
    if (event.kind !== 'text') this.#latest.set(event.kind, event);
    else this.#texts = [...this.#texts.slice(1 - MAX_TEXTS), event];
  }

  /** What is kept and newer than `seq`, in order. */
  after(seq: number): ExecutionEvent[] {
    return [...this.#latest.values(), ...this.#texts]
      .filter((event) => event.seq > seq)
      .sort((a, b) => a.seq - b.seq);
  }

  /** Bytes of the result's tensors and the preview. */
  get byteLength(): number {
    let bytes = 0;
    for (const event of this.#latest.values()) {
      if (event.kind === 'preview') bytes += event.bytes.byteLength;
      else for (const tensor of event.tensors.values()) bytes += tensor.data.byteLength;
    }
    return bytes;
  }
}
