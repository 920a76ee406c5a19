/** Grace time and retention, with a clock that the test turns. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ExecutionEvent } from '../../src/bridge/session/event-log.ts';
import { Executions } from '../../src/bridge/session/executions.ts';
import { hostOf } from './support.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const GRACE_MS = 60_000;
const RETENTION_MS = 600_000;

/** An execution `k` that runs until it is cancelled or let go, and its listener. */
function running() {
  let signal: AbortSignal | undefined;
  let letGo = () => {};
  const executions = new Executions({
    host: hostOf({
      node: (request) =>
        new Promise((resolve) => {
          signal = request.signal;
          letGo = () => resolve({});
        }),
    }),
    graceMs: GRACE_MS,
    retentionMs: RETENTION_MS,
  });
  const events: ExecutionEvent[] = [];
  const listener = { onEvent: (event: ExecutionEvent) => events.push(event) };
  executions.start({ type: 'execute', key: 'k', node: 'node', inputs: {} }, listener);
  return {
    executions,
    listener,
    events,
    isCancelled: () => signal?.aborted,
    letGo: () => letGo(),
  };
}

test('an execution without a client is cancelled when the grace time is over, not before', () => {
  const { executions, listener, isCancelled } = running();
  executions.detach(listener);
  vi.advanceTimersByTime(GRACE_MS - 1);
  expect(isCancelled()).toBe(false);
  vi.advanceTimersByTime(1);
  expect(isCancelled()).toBe(true);
});

test('a client that is back within it stops the clock, and it starts anew with the next loss', () => {
  const { executions, listener, isCancelled } = running();
  executions.detach(listener);
  vi.advanceTimersByTime(GRACE_MS - 1);
  executions.attach('k', 2, listener);
  vi.advanceTimersByTime(10 * GRACE_MS);
  expect(isCancelled()).toBe(false);
  executions.detach(listener);
  vi.advanceTimersByTime(GRACE_MS - 1);
  expect(isCancelled()).toBe(false);
  vi.advanceTimersByTime(1);
  expect(isCancelled()).toBe(true);
});

test('the loss of a listener that was replaced starts no clock', () => {
  const { executions, listener, isCancelled } = running();
  executions.attach('k', 0, { onEvent: () => undefined });
  executions.detach(listener);
  vi.advanceTimersByTime(10 * GRACE_MS);
  expect(isCancelled()).toBe(false);
});

test('a waiting execution without a client gives its place up', () => {
  const { executions } = running();
  const waiting = { onEvent: () => undefined };
  executions.start({ type: 'execute', key: 'w', node: 'node', inputs: {} }, waiting);
  executions.detach(waiting);
  vi.advanceTimersByTime(GRACE_MS);
  expect(executions.counts).toEqual({ waiting: 0, running: 1, ended: 1 });
});

test('an end is kept for the retention time, with or without a client', async () => {
  const { executions, events, listener, letGo } = running();
  letGo();
  while (events.at(-1)?.kind !== 'result') await new Promise(setImmediate);
  executions.detach(listener);
  vi.advanceTimersByTime(RETENTION_MS - 1);
  executions.attach('k', 2, listener);
  expect(executions.counts.ended).toBe(1);
  vi.advanceTimersByTime(1);
  expect(executions.counts.ended).toBe(0);
  expect(() => executions.attach('k', 0, listener)).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_EXECUTION' }),
  );
  expect(vi.getTimerCount()).toBe(0);
});
