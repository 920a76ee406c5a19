import { expect, test } from 'vitest';
import { Mt19937 } from '../../../src/trainer/random/mt19937.ts';

test('gives what the C++ standard demands of std::mt19937: the 10000th word for seed 5489', () => {
  const words = new Mt19937(5489);
  expect(words.next()).toBe(3499211612);
  for (let i = 2; i < 10_000; i++) words.next();
  expect(words.next()).toBe(4123659995);
});
