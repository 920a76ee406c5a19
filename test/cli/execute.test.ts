import { expect, test } from 'vitest';
import { executeForPeople } from '../../src/cli/execute.ts';
import { createLog } from '../../src/log.ts';

test.each([
  { type: 'FlowstepTrainTeacher', isTold: true },
  { type: 'FlowstepDistill', isTold: true },
  { type: 'FlowstepTeacherSampler', isTold: false },
])('what stopping at once would lose is told of $type: $isTold', async ({ type, isTold }) => {
  let told = '';
  const abort = new AbortController();
  const io = {
    stdout: { write: () => undefined },
    log: createLog({ write: (text) => (told += text) }),
    isTerminal: false,
    environment: {},
    signal: abort.signal,
  };
  const roots = { models: '/m', output: '/o', data: '/d' };
  await executeForPeople(io, {
    roots,
    json: false,
    run: async ({ onEvent }) => {
      const node = { id: '1', type, title: undefined, inputs: {} };
      onEvent?.({ kind: 'started', node, index: 0, count: 1 });
      abort.abort();
      return [];
    },
  });
  expect(told.includes('checkpoint')).toBe(isTold);
});
