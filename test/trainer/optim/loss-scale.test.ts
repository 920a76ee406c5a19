import { expect, test } from 'vitest';
import { LossScale } from '../../../src/trainer/optim/loss-scale.ts';

test('is halved by overflow until nothing is left to lower', () => {
  const scale = new LossScale();
  const first = scale.value[0]!;
  expect(scale.lower()).toBe(true);
  expect(scale.value[0]).toBe(first / 2);
  let lowered = 1;
  while (scale.lower()) lowered++;
  expect(scale.value[0]).toBe(1);
  expect(2 ** lowered).toBe(first);
});

test('grows after 2000 updates without overflow, which begin anew with each', () => {
  const scale = new LossScale();
  const first = scale.value[0]!;
  for (let i = 0; i < 1999; i++) scale.keep();
  scale.lower();
  for (let i = 0; i < 1999; i++) scale.keep();
  expect(scale.value[0]).toBe(first / 2);
  scale.keep();
  expect(scale.value[0]).toBe(first);
  for (let i = 0; i < 40_000; i++) scale.keep();
  expect(scale.value[0]).toBe(2 ** 16);
});

test('goes on from the state of another', () => {
  const [before, after] = [new LossScale(), new LossScale()];
  before.lower();
  for (let i = 0; i < 1999; i++) before.keep();
  after.state.set(before.state);
  expect(after.value).toEqual(before.value);
  after.keep();
  expect(after.value[0]).toBe(2 * before.value[0]!);
});
