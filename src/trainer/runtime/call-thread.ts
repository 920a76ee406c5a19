/**
 * @file A thread that calls functions of the library, one after the other, so that Node's own stays free and the same thread
 * makes all calls. CUDA needs that: its provider keeps handles of libraries, and recordings, for each thread that calls it. What
 * was recorded on one thread would be recorded again on the next, and a recording runs a program more than once.
 */
import { Worker } from 'node:worker_threads';
import type koffi from 'koffi';
import { FlowstepError } from '../../errors.ts';

/** A C function, and what it is called with: addresses, numbers, texts and lists of them. */
export interface Call {
  readonly address: unknown;
  readonly signature: string;
  readonly args: readonly unknown[];
}

interface Start {
  /** A module that finds koffi. */
  readonly from: string;
  readonly config: Parameters<typeof koffi.config>[0];
  readonly library: string;
}

/** A text, since a file would need Node to read TypeScript in threads, which it does not do when run from source. */
const PROGRAM = `
const { createRequire } = require('node:module');
const { parentPort, workerData } = require('node:worker_threads');
const koffi = createRequire(workerData.from)('koffi');
koffi.config(workerData.config);
// Koffi crashes in a thread that has loaded nothing; and what is loaded must stay reachable.
const library = koffi.load(workerData.library);
const functions = new Map();
parentPort.on('message', ({ address, signature, args }) => {
  if (!functions.has(address)) functions.set(address, koffi.decode(address, koffi.proto(signature)));
  parentPort.postMessage(functions.get(address)(...args));
});
`;

export class CallThread {
  readonly #worker: Worker;
  /** Ends the call under way. */
  #end: ((error: Error | undefined, result?: unknown) => void) | undefined;
  /** Why there can be no more calls. */
  #failure: FlowstepError | undefined;

  /** Calls functions of the library at a path; `config` is koffi's. */
  constructor(library: string, config: Start['config']) {
    const start: Start = { from: import.meta.url, config, library };
    this.#worker = new Worker(PROGRAM, { eval: true, workerData: start });
    this.#worker.on('message', (result: unknown) => this.#end?.(undefined, result));
    this.#worker.on('error', (cause) => {
      this.#failure = new FlowstepError('INTERNAL', 'internal: the thread for calls', { cause });
      this.#end?.(this.#failure);
    });
    // A process may end with the thread waiting. After the listeners, which keep it.
    this.#worker.unref();
  }

  /** The function's result. One call at a time; INTERNAL when the thread has ended. */
  async call(call: Call): Promise<unknown> {
    if (this.#failure) throw this.#failure;
    if (this.#end) throw new FlowstepError('INTERNAL', 'internal: a call has to wait');
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#end = (error, result) => {
        this.#end = undefined;
        this.#worker.unref();
        if (error) reject(error);
        else resolve(result);
      };
      this.#worker.postMessage(call);
    });
  }
}
