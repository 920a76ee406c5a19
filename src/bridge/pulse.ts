/** @file Whether the other end of a socket is there: it sends, if only answers to pings, or takes what waits for it. */
import type { Socket } from 'node:net';

/** The part of a TCP or TLS socket that is needed here. */
export type Flow = Pick<Socket, 'bytesRead' | 'bytesWritten' | 'writableLength'>;

export class Pulse {
  readonly #flow: Flow;
  #read = 0;
  #taken = 0;
  #isWaiting = false;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  /**
   * Whether anything has come since the last call, or anything has left that waited then. What leaves at once is no
   * sign: the system takes it for an end that is gone, too, until its buffer is full.
   */
  beats(): boolean {
    const { bytesRead, bytesWritten, writableLength } = this.#flow;
    const taken = bytesWritten - writableLength;
    const isAlive = bytesRead > this.#read || (this.#isWaiting && taken > this.#taken);
    this.#read = bytesRead;
    this.#taken = taken;
    this.#isWaiting = writableLength > 0;
    return isAlive;
  }
}
