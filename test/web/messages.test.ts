import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readHistory, readMetricsEvent, readPromptId } from '../../src-web/messages.ts';

const event = {
  node: '7:4',
  prompt_id: 'p1',
  step: 30,
  steps: 4000,
  metrics: { 'loss/online': 1.5, 'loss/student': null },
  stepsPerSecond: 83.5,
  etaSeconds: 47.5,
};
const update = {
  node: '7:4',
  promptId: 'p1',
  points: [{ step: 30, metrics: { 'loss/online': 1.5, 'loss/student': null } }],
  standing: { steps: 4000, stepsPerSecond: 83.5, etaSeconds: 47.5 },
};

describe('a metrics event', () => {
  test('is read', () => expect(readMetricsEvent(event)).toEqual(update));

  test.each([
    { name: 'without progress', change: { steps: null, stepsPerSecond: null, etaSeconds: null } },
    {
      name: 'without members',
      change: { steps: undefined, stepsPerSecond: undefined, etaSeconds: undefined },
    },
  ])('$name ends where it stands', ({ change }) => {
    const standing = { steps: 30, stepsPerSecond: undefined, etaSeconds: undefined };
    expect(readMetricsEvent({ ...event, ...change })).toEqual({ ...update, standing });
  });

  test.each([
    { name: 'a step', change: { step: '30' } },
    { name: 'metrics', change: { metrics: [1] } },
    { name: 'a prompt', change: { prompt_id: 5 } },
    { name: 'a node', change: { node: null } },
  ])('without $name is none', ({ change }) => {
    expect(readMetricsEvent({ ...event, ...change })).toBeUndefined();
  });

  test('values that are no numbers become gaps', () => {
    const read = readMetricsEvent({ ...event, metrics: { a: 'x', b: Number.NaN, c: 2 } });
    expect(read?.points[0]?.metrics).toEqual({ a: null, b: null, c: 2 });
  });
});

describe('the history', () => {
  const earlier = { ...event, step: 10, metrics: { 'loss/online': 2 }, etaSeconds: 60 };
  const points = [{ step: 10, metrics: earlier.metrics }, ...update.points];

  test('is read', () => {
    expect(readHistory({ '7:4': [earlier, event] })).toEqual([{ ...update, points }]);
  });

  test('leaves out what is damaged and keeps the rest', () => {
    const answer = {
      1: null,
      2: [],
      3: [{ ...event, prompt_id: null }],
      4: [null, {}, earlier, event],
    };
    expect(readHistory(answer)).toEqual([{ ...update, node: '4', points }]);
  });
});

test('anything at all is read without throwing', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      readHistory(value);
      readHistory({ 1: value, 2: [value], 3: [value, event] });
      readMetricsEvent(value);
      readPromptId(value);
    }),
    { seed: 7 },
  );
});
