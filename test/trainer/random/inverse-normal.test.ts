import { expect, test } from 'vitest';
import { normalsFromWords } from '../../../src/trainer/random/inverse-normal.ts';
import { MAX_WORDS } from '../../../src/trainer/random/vector-random.ts';

function quantile(word: number): number {
  const out = new Float32Array(1);
  normalsFromWords(out, Uint32Array.of(word), 0, 0, 1);
  return out[0]!;
}

// By inv_cdf of Python's statistics.NormalDist, for upper tails on the mirrored word.
test.each([
  { word: 0, expected: -6.337957754553789 },
  { word: 1, expected: -6.166429517819749 },
  { word: 1000, expected: -5.039851125968711 },
  { word: 2 ** 28, expected: -1.5341205434059566 },
  { word: 322122547, expected: -1.4395314704450153 },
  { word: 322122548, expected: -1.4395314688002132 },
  { word: 2 ** 30, expected: -0.6744897498297384 },
  { word: 2 ** 31 - 1, expected: -2.9180993729166234e-10 },
  { word: 2 ** 31, expected: 2.9180993729166234e-10 },
  { word: 3 * 2 ** 30, expected: 0.6744897505624251 },
  { word: 4000000000, expected: 1.4857137558957358 },
  { word: 2 ** 32 - 1, expected: 6.337957754553789 },
])('word $word gives $expected', ({ word, expected }) => {
  expect(Math.abs(quantile(word) - expected)).toBeLessThanOrEqual(6e-8 * Math.abs(expected));
});

test('numbers grow with words, and opposite words give opposite numbers', () => {
  const count = MAX_WORDS;
  const words = Uint32Array.from({ length: count }, (_, i) => Math.floor((i * 2 ** 31) / count));
  const lower = new Float32Array(count);
  normalsFromWords(lower, words, 0, 0, count);
  const upper = new Float32Array(count);
  const opposite = words.map((w) => ~w);
  normalsFromWords(upper, opposite, 0, 0, count);
  expect(lower.every((z, i) => i === 0 || z > lower[i - 1]!)).toBe(true);
  expect(upper).toEqual(lower.map((z) => -z));
});
