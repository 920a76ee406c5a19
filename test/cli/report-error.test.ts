import { expect, test } from 'vitest';
import { errorText, exitCodeOf } from '../../src/cli/report-error.ts';
import { asFlowstepError, FlowstepError } from '../../src/errors.ts';

test('an error tells what, where and what to do', () => {
  const error = new FlowstepError('WORKFLOW_INVALID', 'it cannot run', {
    file: 'x.json',
    hint: 'Mend it.',
    issues: [
      { node: '4', field: 'steps', message: 'is missing' },
      { node: '5', message: 'is unknown' },
      { message: 'nothing to run' },
    ],
  });
  expect(errorText(error).split('\n')).toEqual([
    'error WORKFLOW_INVALID: it cannot run',
    '  node 4, steps: is missing',
    '  node 5: is unknown',
    '  nothing to run',
    'file: x.json',
    'hint: Mend it.',
  ]);
});

test('a defect comes with the stack of what was thrown first', () => {
  const thrown = new TypeError('x is undefined');
  const wrapped = new FlowstepError('INTERNAL', 'node 4: internal', {
    cause: asFlowstepError(thrown),
  });
  expect(errorText(wrapped)).toContain(String(thrown.stack));
  expect(errorText(wrapped)).toContain('please report it');
});

test.each([
  ['USAGE', 2],
  ['INTERRUPTED', 130],
  ['WORKFLOW_INVALID', 1],
  ['INTERNAL', 1],
] as const)('%s leads to exit code %i', (code, exitCode) => {
  expect(exitCodeOf(code)).toBe(exitCode);
});
