/** @file Work on many files, a few at a time, which can be watched and cancelled. */
import { FlowstepError } from '../../errors.ts';

/** Who watches work that may take minutes. */
export interface Watch {
  readonly signal?: AbortSignal;
  onProgress?(done: number, total: number): void;
}

/** Files in work at a time: enough to keep disk and cores busy, and few enough to hold in memory. */
const LANES = 8;

/**
 * Calls `work` for every item; after a failure no more begin, and the first one is thrown once nothing is running.
 * Throws INTERRUPTED when the signal is aborted.
 */
export async function forEachBounded<Item>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
  watch: Watch = {},
): Promise<void> {
  let next = 0;
  let done = 0;
  const failures: unknown[] = [];
  const lane = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        if (watch.signal?.aborted) throw new FlowstepError('INTERRUPTED', 'interrupted');
        await work(items[index]!, index);
      } catch (error) {
        failures.push(error);
        return;
      }
      watch.onProgress?.(++done, items.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(LANES, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}
