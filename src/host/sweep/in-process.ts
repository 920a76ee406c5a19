/** @file Runs the rows of a sweep in this process, one after the other. */
import { setImmediate } from 'node:timers/promises';
import { asFlowstepError } from '../../errors.ts';
import { throwIfAborted } from '../../nodes/node-context.ts';
import { runJob } from './job.ts';
import { KeptResults } from './kept-results.ts';
import { labelOf } from './plan.ts';
import type { Runner } from './sweep.ts';

/** Throws INTERRUPTED when it is stopped. */
export const runInProcess: Runner = async (_plan, pending, handler, options) => {
  const cache = new KeptResults();
  for (const planned of pending) {
    throwIfAborted(options.signal);
    const label = labelOf(planned);
    try {
      const row = await runJob(planned.job, {
        ...options,
        cache,
        onNotice: (message) => handler.tell({ kind: 'notice', message }),
        onEvent: (event) => {
          if (event.kind !== 'progress') return;
          const node = event.node.title ?? event.node.id;
          handler.tell({ kind: 'progress', label, node, step: event.progress });
        },
      });
      await handler.done(row);
    } catch (thrown) {
      const error = asFlowstepError(thrown);
      if (error.code === 'INTERRUPTED') throw error;
      handler.failed(planned, error);
    }
    // Rows that are only measured anew must not keep Ctrl-C waiting.
    await setImmediate();
  }
};
