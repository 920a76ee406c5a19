import { Subject } from 'rxjs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { progressText, showProgress } from '../../src/cli/progress.ts';
import type { ExecutionEvent } from '../../src/host/executor.ts';
import type { WorkflowNode } from '../../src/host/workflow.ts';
import { createLog } from '../../src/log.ts';
import type { StepEvent } from '../../src/trainer/run/events.ts';

const node: WorkflowNode = { id: '4', type: 'FlowstepDistill', title: 'Distil', inputs: {} };

function event(step: number, rest: Partial<StepEvent> = {}): StepEvent {
  return {
    kind: 'step',
    step,
    steps: 1000,
    metrics: { 'loss/student': 0.123456, 'time/step_ms': 3 },
    stepsPerSecond: 83.333,
    etaSeconds: 61.2,
    ...rest,
  };
}

test('a line of progress holds losses, rate and the time that is left', () => {
  expect(progressText(node, event(7))).toBe(
    'Distil  7/1000  loss/student 0.1235  83.3 steps/s  1:02 left',
  );
  expect(progressText(node, event(7, { etaSeconds: 7325 }))).toContain('2:02:05 left');
  expect(progressText(node, event(7, { etaSeconds: Number.POSITIVE_INFINITY }))).toContain(
    '? left',
  );
});

test('what is no step of a training is told as what it counts, without steps a second', () => {
  const reading = event(20, { counts: 'reading pictures', metrics: {} });
  expect(progressText(node, reading)).toBe('Distil  reading pictures 20/1000  1:02 left');
});

describe('progress of a run', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  /** Ten steps a second for `seconds`, then the end; returns what was written. */
  async function watch(isTTY: boolean, seconds: number): Promise<string> {
    let written = '';
    const sink = { isTTY, columns: 40, write: (text: string) => (written += text) };
    const events = new Subject<ExecutionEvent>();
    const shown = showProgress(events, createLog(sink), isTTY);
    events.next({ kind: 'started', node, index: 0, count: 1 });
    for (let step = 1; step <= seconds * 10; step++) {
      events.next({ kind: 'progress', node, progress: event(step) });
      await vi.advanceTimersByTimeAsync(100);
    }
    events.next({ kind: 'finished', node, seconds, files: ['a.png'] });
    await vi.advanceTimersByTimeAsync(10_000);
    shown.unsubscribe();
    return written;
  }

  test('is a line about every five seconds without a terminal, and nothing after the end', async () => {
    const lines = (await watch(false, 12)).trim().split('\n');
    expect(lines.map((line) => line.split('  ')[1])).toEqual([
      '1/1000',
      '50/1000',
      '100/1000',
      undefined,
    ]);
    expect(lines.at(-1)).toBe('Distil: 12.0 s, loss/student 0.1235 -> a.png');
  });

  test('is one changing line in a terminal, cut to its width', async () => {
    const written = await watch(true, 2);
    expect(written.match(/\n/g)).toHaveLength(1);
    const states = written.split('\r\u001b[K').slice(1);
    expect(states.length).toBeGreaterThan(10);
    for (const state of states.slice(0, -1)) expect(state.length).toBeLessThan(40);
    expect(states.at(-1)).toBe('Distil: 2.0 s, loss/student 0.1235 -> a.png\n');
  });

  test('says at once what a node notices', () => {
    let written = '';
    const events = new Subject<ExecutionEvent>();
    const log = createLog({ write: (text: string) => (written += text) });
    const shown = showProgress(events, log, false);
    events.next({ kind: 'started', node, index: 0, count: 1 });
    events.next({ kind: 'notice', node, message: 'run x goes on after step 40' });
    shown.unsubscribe();
    expect(written).toBe('Distil: run x goes on after step 40\n');
  });
});
