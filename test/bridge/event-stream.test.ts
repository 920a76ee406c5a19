/** What a node tells is thinned in time; the first and the last always pass. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { thinned } from '../../src/bridge/session/event-stream.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function recorded() {
  const steps: number[] = [];
  const others: string[] = [];
  const stream = thinned({
    progress: (report) => steps.push(report.step),
    metrics: (report) => others.push(`metrics ${report.step}`),
    preview: (picture) => others.push(`preview ${picture.step}`),
    text: (text) => others.push(text),
  });
  const tell = (step: number) =>
    stream.progress({ step, steps: 1000, stepsPerSecond: 1, etaSeconds: 1 });
  return { stream, steps, others, tell };
}

test('a thousand steps in a second become at most eleven, the newest each time', () => {
  const { stream, steps, tell } = recorded();
  for (let step = 1; step <= 1000; step++) {
    tell(step);
    vi.advanceTimersByTime(1);
  }
  stream.end();
  expect(steps.length).toBeLessThanOrEqual(12);
  expect(steps.length).toBeGreaterThanOrEqual(10);
  expect(steps[0]).toBe(1);
  expect(steps.at(-1)).toBe(1000);
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
});

test('the end does not wait for what is held back, and repeats nothing', () => {
  const { stream, steps, tell } = recorded();
  tell(1);
  tell(2);
  tell(3);
  expect(steps).toEqual([1]);
  stream.end();
  expect(steps).toEqual([1, 3]);
  vi.advanceTimersByTime(1000);
  expect(steps).toEqual([1, 3]);
  expect(vi.getTimerCount()).toBe(0);
});

test('one step alone passes once', () => {
  const { stream, steps, tell } = recorded();
  tell(7);
  stream.end();
  expect(steps).toEqual([7]);
});

test('pictures and notices all pass, until the end', () => {
  const { stream, others } = recorded();
  for (let step = 1; step <= 3; step++) {
    stream.preview({ step, mime: '', width: 1, height: 1, bytes: new Uint8Array() });
    stream.text(`text ${step}`);
  }
  stream.end();
  stream.text('late');
  stream.metrics({ step: 4, metrics: {} });
  expect(others).toEqual(['preview 1', 'text 1', 'preview 2', 'text 2', 'preview 3', 'text 3']);
});
