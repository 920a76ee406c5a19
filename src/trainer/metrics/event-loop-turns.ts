/** @file Long computations on the main thread that let the event loop turn. */
import { setImmediate } from 'node:timers/promises';
import { FlowstepError } from '../../errors.ts';

/** The event loop turns at least this often, if the pieces between two calls are shorter. */
const TURN_MS = 10;

/** A function to await between two pieces of work; it throws INTERRUPTED when the signal is aborted. */
export function eventLoopTurns(signal: AbortSignal | undefined): () => Promise<void> {
  let lastTurn = performance.now();
  return async () => {
    if (performance.now() - lastTurn > TURN_MS) {
      await setImmediate();
      lastTurn = performance.now();
    }
    throwIfStopped(signal);
  };
}

/** Throws INTERRUPTED when the signal is aborted. */
export function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new FlowstepError('INTERRUPTED', 'interrupted');
}
