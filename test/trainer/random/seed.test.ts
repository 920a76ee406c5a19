import { expect, test } from 'vitest';
import { seedWords } from '../../../src/trainer/random/seed.ts';

test.each([
  { seed: 0, words: [0, 0] },
  { seed: 2 ** 53 - 1, words: [0xffffffff, 0x1fffff] },
  { seed: 2n ** 64n - 1n, words: [0xffffffff, 0xffffffff] },
  { seed: '18446744073709551615', words: [0xffffffff, 0xffffffff] },
  { seed: '0042', words: [42, 0] },
])('$seed is the words $words', ({ seed, words }) => {
  expect(seedWords(seed)).toEqual(words);
});

test.each([-1, 0.5, 2 ** 53, Number.NaN, -1n, 2n ** 64n, '', '-1', '1e3', '18446744073709551616'])(
  '%s is not a seed',
  (seed) => {
    expect(() => seedWords(seed)).toThrow(expect.objectContaining({ code: 'VALUE_OUT_OF_RANGE' }));
  },
);
