import { describe, expect, test } from 'vitest';
import type { RunUpdate } from '../../src-web/messages.ts';
import { MAX_RUNS, Runs } from '../../src-web/runs.ts';

function update(promptId: string, steps: readonly number[], of = 100): RunUpdate {
  return {
    node: '4',
    promptId,
    points: steps.map((step) => ({ step, metrics: { a: step } })),
    standing: { steps: of, stepsPerSecond: 2, etaSeconds: 9 },
  };
}

const stepsOf = (runs: Runs) => runs.all.map((run) => run.points.map((point) => point.step));

describe('runs', () => {
  test('another prompt is another run', () => {
    const runs = new Runs();
    runs.receive(update('a', [1]));
    runs.receive(update('a', [2]));
    expect(runs.has(update('b', [1]))).toBe(false);
    runs.receive(update('b', [1]));
    expect(stepsOf(runs)).toEqual([[1, 2], [1]]);
  });

  test('what the server remembers goes before what came meanwhile', () => {
    const runs = new Runs();
    runs.receive(update('a', [7, 8]));
    runs.restore(update('a', [1, 3, 7]), undefined);
    expect(stepsOf(runs)).toEqual([[1, 3, 7, 8]]);
  });

  test('what was missed while the connection was lost is filled in', () => {
    const runs = new Runs();
    const run = runs.receive(update('a', [1, 3]));
    const standing = { steps: 100, stepsPerSecond: 3, etaSeconds: 4 };
    runs.restore({ ...update('a', [1, 3, 5, 7]), standing }, undefined);
    expect(stepsOf(runs)).toEqual([[1, 3, 5, 7]]);
    expect(run.standing).toEqual(standing);
  });

  describe.each([{ isKnown: false }, { isKnown: true }])(
    'where it is known: $isKnown',
    ({ isKnown }) => {
      test.each([
        { name: 'still runs', steps: [1, 3], end: undefined, state: 'running' },
        {
          name: 'was stopped while no page looked',
          steps: [1, 3],
          end: 'stopped',
          state: 'stopped',
        },
        { name: 'failed then', steps: [1, 3], end: 'failed', state: 'failed' },
        { name: 'ended early', steps: [1, 3], end: 'finished', state: 'finished' },
        { name: 'went to its end', steps: [1, 100], end: 'stopped', state: 'finished' },
      ] as const)('a remembered run $name', ({ steps, end, state }) => {
        const runs = new Runs();
        if (isKnown) runs.receive(update('a', [1]));
        expect(runs.restore(update('a', steps), end).state).toBe(state);
      });
    },
  );

  test('prompts with runs that have not ended are known', () => {
    const runs = new Runs();
    runs.receive(update('a', [100]));
    runs.receive(update('b', [5]));
    runs.receive(update('c', [6]));
    runs.end('c', 'failed');
    expect(runs.running).toEqual(['b']);
  });

  test('an execution that ends stops what runs in it, and nothing else', () => {
    const runs = new Runs();
    const done = runs.receive(update('a', [100]));
    const other = runs.receive(update('b', [5]));
    runs.end('a', 'failed');
    expect([done.state, other.state]).toEqual(['finished', 'running']);
    runs.end('b', 'stopped');
    expect(other.state).toBe('stopped');
    runs.receive(update('b', [6]));
    expect(other.state).toBe('running');
  });

  test('old runs are forgotten', () => {
    const runs = new Runs();
    for (let i = 0; i < MAX_RUNS + 3; i++) runs.receive(update(`p${i}`, [1]));
    expect(runs.all.map((run) => run.promptId)).toHaveLength(MAX_RUNS);
    expect(runs.all[0]?.promptId).toBe('p3');
  });
});
