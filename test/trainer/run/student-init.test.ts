/** Where a student starts from: the teacher, or random weights that its run's identity knows of. */
import { describe, expect, test } from 'vitest';
import type { MlpConfig } from '../../../src/trainer/nn/config.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { factsOf, studentStart } from '../../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { type FlowModel, weightsHash } from '../../../src/trainer/run/model.ts';
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

describe('a student to go on with', () => {
  const { teacher } = TINY_DISTILL;
  const studentModel: FlowModel = {
    info: { ...teacher.info, role: 'student', student: TINY_DISTILL.student },
    parameters: teacher.parameters.map((x) => x + 0.25),
  };
  const again = { ...TINY_DISTILL, studentModel };

  test('gives its own weights, and a copy of them', () => {
    expect(studentStart(again, list)).toEqual(studentModel.parameters);
    expect(studentStart(again, list)).not.toBe(studentModel.parameters);
  });

  test('makes another run, by the hash of its weights', () => {
    const facts = { ...factsOf(TINY_DISTILL), studentStart: weightsHash(studentModel) };
    expect(factsOf(again)).toEqual(facts);
  });

  test('must be the same network, with the same adapters or none, and leaves no choice of a start', () => {
    const network = {
      ...teacher.info.network,
      width: 2 * (teacher.info.network as MlpConfig).width,
    };
    const other = { ...studentModel, info: { ...studentModel.info, network } };
    const lora = { rank: 2, alpha: 2, targets: ['layer1'] };
    expect(() => new Distiller({ ...again, studentModel: other })).toThrow(
      /the student is another network/,
    );
    expect(() => new Distiller({ ...again, lora })).toThrow(
      /the student has no adapters, and rank 2/,
    );
    expect(() => new Distiller({ ...again, studentInit: 'random' })).toThrow(/random weights/);
  });
});

describe('beta1', () => {
  test('is 0 and unnamed unless asked for; then it keeps a first moment and makes another run', () => {
    const usual = new Distiller(TINY_DISTILL);
    const momentum = new Distiller({ ...TINY_DISTILL, beta1: 0.5 });
    const moments = (state: ReadonlyMap<string, unknown>) =>
      [...state.keys()].filter((name) => name.endsWith('moment1'));
    expect(moments(usual.state)).toEqual([]);
    expect(moments(momentum.state)).toHaveLength(2);
    expect(factsOf({ ...TINY_DISTILL, beta1: 0 })).toEqual(factsOf(TINY_DISTILL));
    expect(factsOf({ ...TINY_DISTILL, beta1: 0.5 })).toMatchObject({ beta1: 0.5 });
  });
});
