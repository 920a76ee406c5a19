/** Where a student starts from: the teacher, or random weights that its run's identity knows of. */
import { expect, test } from 'vitest';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { factsOf, studentStart } from '../../../src/trainer/run/distill-job.ts';
import { distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

const list = parameterList(TINY_DISTILL.teacher.info.network);
const random = { ...TINY_DISTILL, studentInit: 'random' } as const;

test('the usual start is the teacher, to the bit, and a copy of it', () => {
  const start = studentStart(TINY_DISTILL, list);
  expect(start).toEqual(TINY_DISTILL.teacher.parameters);
  expect(start).not.toBe(TINY_DISTILL.teacher.parameters);
});

test('a random start depends on the seed alone', () => {
  const start = studentStart(random, list);
  const { parameters } = TINY_DISTILL.teacher;
  expect(start.filter((x, i) => x !== parameters[i]).length).toBeGreaterThan(list.size / 3);
  expect(studentStart(random, list)).toEqual(start);
  expect(studentStart({ ...random, seed: random.seed + 1 }, list)).not.toEqual(start);
});

test('runs with a random start are other runs; the usual start changes no identity', () => {
  expect(factsOf(random)).toEqual({ ...factsOf(TINY_DISTILL), studentInit: 'random' });
  expect(factsOf({ ...TINY_DISTILL, studentInit: 'teacher' })).toEqual(factsOf(TINY_DISTILL));
});

test('a random start is what is trained', async () => {
  const short = { steps: 1, learningRate: 1e-8, emaDecay: 0 };
  const { result } = await runToEnd(distill({ ...random, ...short }));
  const start = studentStart(random, list);
  const farthest = Math.max(...result.student.parameters.map((x, i) => Math.abs(x - start[i]!)));
  expect(farthest).toBeLessThan(1e-5);
});
