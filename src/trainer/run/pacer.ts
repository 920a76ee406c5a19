/** @file Runs programs so that the event loop stays free and small programs stay fast. */
import { setImmediate } from 'node:timers/promises';
import type { Program } from '../runtime/program.ts';

/** A program that takes less than this runs on the calling thread: handing it to another costs about 0.1 ms. */
const SYNC_BELOW_MS = 3;

/** The event loop turns at least this often. */
const TURN_MS = 5;

export class Pacer {
  readonly #times = new WeakMap<Program, number>();
  #lastTurn = performance.now();

  /** Runs a program once, on this thread when its last run was short. */
  async run(program: Program): Promise<void> {
    const started = performance.now();
    const isShort =
      (this.#times.get(program) ?? Number.POSITIVE_INFINITY) < SYNC_BELOW_MS && program.canRunSync;
    if (isShort) program.runSync();
    else await program.run();
    const ended = performance.now();
    this.#times.set(program, ended - started);
    if (!isShort) this.#lastTurn = ended;
    else if (ended - this.#lastTurn > TURN_MS) {
      await setImmediate();
      this.#lastTurn = performance.now();
    }
  }
}
