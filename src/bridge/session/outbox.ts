/** @file What waits to be sent on one socket. A reader that is slow loses what is out of date, and nothing else. */
import { CLOSE_CODES } from '../protocol/messages.ts';

/** The part of a websocket that is needed here. */
export interface OutgoingSocket {
  /** Bytes given to `send` that the network has not taken yet. */
  readonly bufferedAmount: number;
  send(
    data: string | Uint8Array,
    options: { binary: boolean; fin: boolean },
    sent: (error?: Error) => void,
  ): void;
  close(code: number, reason: string): void;
}

export interface Outgoing {
  /** One message: a text, or the fragments of a binary frame. */
  readonly parts: readonly (string | Uint8Array)[];
  /** A later message of the same name takes the place of this one while it waits. */
  readonly name?: string;
}

/** Bytes in the socket's own buffer above which messages wait here, where they can still be replaced. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Messages that wait for a reader that takes none; its executions go on and it may attach again. */
const MAX_WAITING = 10_000;

export class Outbox {
  readonly #socket: OutgoingSocket;
  readonly #onSent: (bytes: number) => void;
  #waiting: Outgoing[] = [];
  #isClosed = false;

  constructor(socket: OutgoingSocket, onSent: (bytes: number) => void) {
    this.#socket = socket;
    this.#onSent = onSent;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  push(message: Outgoing): void {
    if (this.#isClosed) return;
    const { name } = message;
    if (name !== undefined) this.#waiting = this.#waiting.filter((other) => other.name !== name);
    this.#waiting.push(message);
    if (this.#waiting.length > MAX_WAITING) {
      this.close();
      this.#socket.close(CLOSE_CODES.tooSlow, 'CLIENT_TOO_SLOW');
      return;
    }
    this.#pump();
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  #pump(): void {
    while (this.#waiting.length > 0 && this.#socket.bufferedAmount < HIGH_WATER_BYTES) {
      this.#send(this.#waiting.shift()!.parts);
    }
  }

  #send(parts: Outgoing['parts']): void {
    parts.forEach((part, index) => {
      const fin = index === parts.length - 1;
      this.#socket.send(part, { binary: typeof part !== 'string', fin }, (error) => {
        // A socket that failed closes, and its connection closes this box.
        if (!error && fin && !this.#isClosed) this.#pump();
      });
      this.#onSent(part.length);
    });
  }
}
