/** @file What a node may use while it runs: folders, progress and cancellation. Nothing of any host's own. */
import { FlowstepError } from '../errors.ts';
import type { TrainEvent } from '../trainer/run/events.ts';

/** The folders that nodes may touch, by name; handles name files relative to one of them. */
export interface Roots {
  /** Model files that the user brought. Read only. */
  readonly models: string;
  /** Everything that nodes write, trained models included. */
  readonly output: string;
  /** Data sets. Read only. */
  readonly data: string;
}

export type RootName = keyof Roots;

export interface NodeContext {
  readonly roots: Roots;
  readonly signal: AbortSignal;
  onProgress(event: TrainEvent): void;
}

/** Cancelling is no failure, but nothing after it may run. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new FlowstepError('INTERRUPTED', 'interrupted');
}
