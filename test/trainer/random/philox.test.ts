import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fillIndices,
  fillNormal,
  fillNormalAsync,
  fillUniform,
  philoxBlocks,
} from '../../../src/trainer/random/philox.ts';

const anyWord = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const anySeed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyStep = fc.maxSafeNat();

/** Philox4x32-10 as the paper writes it, slowly. */
function reference(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [
      (p1 >> 32n) ^ c1 ^ k0,
      p1 & 0xffffffffn,
      (p0 >> 32n) ^ c3 ^ k1,
      p0 & 0xffffffffn,
    ];
    k0 = (k0 + 0x9e3779b9n) & 0xffffffffn;
    k1 = (k1 + 0xbb67ae85n) & 0xffffffffn;
  }
  return [c0, c1, c2, c3].map(Number);
}

type Words4 = [number, number, number, number];
type Words2 = [number, number];

function firstBlock(counter: Words4, key: Words2): number[] {
  const out = new Uint32Array(8);
  philoxBlocks(out, 2, ...counter, ...key);
  return [...out.subarray(0, 4)];
}

describe('philoxBlocks', () => {
  // kat_vectors of the Random123 distribution
  test.each<{ counter: Words4; key: Words2; expected: number[] }>([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])('known answer $expected', ({ counter, key, expected }) => {
    expect(firstBlock(counter, key)).toEqual(expected);
  });

  test('agrees with the definition', () => {
    fc.assert(
      fc.property(
        fc.tuple(anyWord, anyWord, anyWord, anyWord),
        fc.tuple(anyWord, anyWord),
        (counter, key) => {
          const out = new Uint32Array(8);
          philoxBlocks(out, 2, ...counter, ...key);
          const next = [(counter[0] + 1) % 2 ** 32, ...counter.slice(1)];
          expect([...out]).toEqual([...reference(counter, key), ...reference(next, key)]);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

const FILLS = [
  { name: 'fillUniform', make: (n: number) => new Float32Array(n).fill(9), fill: fillUniform },
  { name: 'fillNormal', make: (n: number) => new Float32Array(n).fill(9), fill: fillNormal },
  {
    name: 'fillIndices',
    make: (n: number) => new Int32Array(n).fill(-9),
    fill: (out: Int32Array, ...rest: [bigint, number, number, number?, number?]) =>
      fillIndices(out, 1000, ...rest),
  },
] as {
  name: string;
  make: (n: number) => Float32Array | Int32Array;
  fill: (
    out: Float32Array | Int32Array,
    seed: bigint | number,
    stream: number,
    step: number,
    from?: number,
    to?: number,
  ) => void;
}[];

describe.each(FILLS)('$name', ({ make, fill }) => {
  test('a range holds what the whole would, and nothing else is touched', () => {
    fc.assert(
      fc.property(
        anySeed,
        fc.nat(20),
        anyStep,
        fc.array(fc.nat(5000), { minLength: 3, maxLength: 3 }),
        (seed, stream, step, numbers) => {
          const [from, to, length] = numbers.sort((a, b) => a - b) as [number, number, number];
          const whole = make(length);
          fill(whole, seed, stream, step);
          const part = make(length);
          const expected = part.slice();
          expected.set(whole.subarray(from, to), from);
          fill(part, seed, stream, step, from, to);
          expect(part).toEqual(expected);
        },
      ),
    );
  });

  test('a seed is the same as a number and as a bigint', () => {
    fc.assert(
      fc.property(anyStep, (seed) => {
        const [a, b] = [make(9), make(9)];
        fill(a, seed, 1, 2);
        fill(b, BigInt(seed), 1, 2);
        expect(a).toEqual(b);
      }),
    );
  });

  test('every bit of seed and step matters', () => {
    const seen = new Set<string>();
    const add = (seed: bigint, step: number) => {
      const out = make(8);
      fill(out, seed, 3, step);
      seen.add(out.join());
    };
    add(0n, 0);
    for (let bit = 0; bit < 64; bit++) add(2n ** BigInt(bit), 0);
    for (let bit = 0; bit < 53; bit++) add(0n, 2 ** bit);
    expect(seen.size).toBe(1 + 64 + 53);
  });

  test.each([
    { from: -1, to: 2 },
    { from: 3, to: 2 },
    { from: 0, to: 11 },
    { from: 0, to: Number.NaN },
  ])('refuses the range $from to $to of 10', ({ from, to }) => {
    const call = () => fill(make(10), 1, 1, 1, from, to);
    expect(call).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  });

  test.each([-1, 0.5, 2 ** 53, Number.NaN])('refuses step %s', (step) => {
    const call = () => fill(make(4), 1, 1, step);
    expect(call).toThrow(expect.objectContaining({ code: 'VALUE_OUT_OF_RANGE' }));
  });
});

test('numbers stay what they are: a change would change every run', () => {
  const uniform = new Float32Array(6);
  fillUniform(uniform, 1234567890123, 2, 2 ** 40 + 3);
  const normal = new Float32Array(6);
  fillNormal(normal, 1234567890123, 2, 2 ** 40 + 3);
  const words = [0, 1].flatMap((block) => {
    const counter = [block, 3, 2, 2 ** 8];
    return reference(counter, [1234567890123 % 2 ** 32, Math.floor(1234567890123 / 2 ** 32)]);
  });
  expect([...uniform]).toEqual(words.slice(0, 6).map((w) => (w >>> 8) / 2 ** 24));
  // The normal quantiles of the same words, by Python's statistics.NormalDist.
  expect([...normal]).toEqual([
    0.6225771307945251, -0.5264286398887634, 0.7206343412399292, 0.901974081993103,
    -0.8233221173286438, -0.5075226426124573,
  ]);
});

test('fillIndices reaches every index about equally often', () => {
  const out = new Int32Array(700_000);
  fillIndices(out, 7, 5, 1, 0);
  const counts = new Array<number>(7).fill(0);
  for (const i of out) counts[i]! += 1;
  expect(counts.reduce((a, b) => a + b)).toBe(out.length);
  for (const count of counts) expect(Math.abs(count - 1e5)).toBeLessThan(4 * Math.sqrt(1e5));
});

test('fillNormalAsync gives the same numbers and lets others run in between', async () => {
  const length = 100_001;
  const expected = new Float32Array(length);
  fillNormal(expected, 7, 2, 3);
  const out = new Float32Array(length);
  let turns = 0;
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  let isDone = false;
  setImmediate(count);
  await fillNormalAsync(out, 7, 2, 3);
  isDone = true;
  expect(out).toEqual(expected);
  expect(turns).toBeGreaterThanOrEqual(3);
});
