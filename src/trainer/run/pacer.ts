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

  /** Runs a program once, on this thread when its last run was short. `meanwhile` works beside a long one. */
  async run(program: Program, meanwhile?: () => Promise<void>): Promise<void> {
    const started = performance.now();
    const last = this.#times.get(program) ?? Number.POSITIVE_INFINITY;
    if (last < SYNC_BELOW_MS) {
      program.runSync();
      this.#times.set(program, performance.now() - started);
      await meanwhile?.();
      if (performance.now() - this.#lastTurn > TURN_MS) await this.turn();
      return;
    }
    const running = program.run();
    // Let the run start before this thread begins to work beside it.
    try {
      await meanwhile?.();
    } finally {
      await running;
    }
    this.#times.set(program, performance.now() - started);
    this.#lastTurn = performance.now();
  }

  /** Lets the event loop turn once. */
  async turn(): Promise<void> {
    await setImmediate();
    this.#lastTurn = performance.now();
  }
}
