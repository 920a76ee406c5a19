import { describe, expect, test } from 'vitest';
import {
  NoiseParts,
  prepareNoise,
  TorchGenerator,
  transitionNoise,
} from '../../../src/trainer/random/torch-noise.ts';

test('torch.manual_seed(0); torch.randn(4)', () => {
  const expected = [1.5409961, -0.2934289, -2.1787894, 0.56843126];
  expect(new TorchGenerator(0).randn(4)).toEqual(Float32Array.from(expected));
});

test('seeds are the same as number, bigint and text, and only their low 32 bits count', () => {
  const expected = new TorchGenerator(7).randn(20);
  for (const seed of [7n, '7', 2 ** 40 + 7, 2n ** 63n + 7n, String(2n ** 63n + 7n)]) {
    expect(new TorchGenerator(seed).randn(20)).toEqual(expected);
  }
});

describe('prepareNoise', () => {
  const item = (index: number) => {
    const generator = new TorchGenerator(3);
    for (let i = 0; i < index; i++) generator.randn(60);
    return [...generator.randn(60)];
  };

  test('picks single items by their index', () => {
    const { shape, data } = prepareNoise([3, 4, 3, 5], 3, [2, 0, 2]);
    expect(shape).toEqual([3, 4, 3, 5]);
    expect([...data]).toEqual([...item(2), ...item(0), ...item(2)]);
  });

  test('an empty batch has no noise', () => {
    expect(prepareNoise([0, 4], 3).data.length).toBe(0);
    expect(prepareNoise([0, 4], 3, []).data.length).toBe(0);
  });

  test.each([
    { indices: [0], code: 'SHAPE_MISMATCH' },
    { indices: [0, -1], code: 'VALUE_OUT_OF_RANGE' },
    { indices: [0, 0.5], code: 'VALUE_OUT_OF_RANGE' },
  ])('refuses the indices $indices for two items', ({ indices, code }) => {
    expect(() => prepareNoise([2, 4], 3, indices)).toThrow(expect.objectContaining({ code }));
  });
});

describe('transitionNoise', () => {
  const first = (noise: readonly { readonly data: Float32Array }[]) =>
    noise.map(({ data }) => [...data.slice(0, 3)]);

  test('is one sequence from the next seed: g = torch.Generator().manual_seed(8); torch.randn(1, 2, 4, 4, generator=g)', () => {
    const expected = [
      [-1.1892017, 1.3932348, 2.1058979],
      [0.0458629, 0.2513413, -0.6428353],
      [-0.2750431, 0.085056, 0.7703463],
    ];
    const found = first(transitionNoise([1, 2, 4, 4], 7, 3));
    for (const [k, row] of expected.entries()) {
      for (const [i, x] of row.entries()) expect(found[k]![i]).toBeCloseTo(x, 6);
    }
  });

  test('exists for the largest seed', () => {
    expect(transitionNoise([1, 4], Number.MAX_SAFE_INTEGER, 2)).toHaveLength(2);
  });

  test('of what is taken from the end of a batch is that of the batch', () => {
    const batch = transitionNoise([3, 4, 4], 7, 2);
    const taken = transitionNoise([2, 4, 4], 7, 2, [2, 0]);
    for (const [k, { data }] of taken.entries()) {
      const whole = batch[k]!.data;
      expect([...data]).toEqual([...whole.slice(32, 48), ...whole.slice(0, 16)]);
    }
  });
});

describe('noise in parts', () => {
  test.each([
    [[50, 1, 4, 4], 8],
    [[50, 3, 3, 3], 7],
    [[33, 2], 8],
    [[9, 2], 8],
    [[5, 2], 4],
    [[3, 8, 8], 100],
  ])('of %j by %i is that of the whole to the bit', (shape, batch) => {
    const [count = 0] = shape;
    const parts = new NoiseParts(shape, 7, 3);
    const [noise, ...fresh]: number[][] = [[], [], [], []];
    for (let done = 0; done < count; ) {
      const part = parts.next(batch);
      noise!.push(...part.noise.data);
      for (const [k, { data }] of part.freshNoise.entries()) fresh[k]!.push(...data);
      done += part.noise.shape[0]!;
      expect(done === count || done % batch === 0).toBe(true);
    }
    expect(noise).toEqual([...prepareNoise(shape, 7).data]);
    expect(fresh).toEqual(transitionNoise(shape, 7, 3).map(({ data }) => [...data]));
  });
});
