/** Broadcasting and its undoing, over shapes drawn at random. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { expand, mul, reduceSum, sumTo } from '../../../src/trainer/graph/ops.ts';
import {
  broadcast,
  inversePermutation,
  normalAxis,
  stridesOf,
} from '../../../src/trainer/graph/shapes.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';

const anyShape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 });

/** A shape and one that broadcasts to it: some axes are 1, some leading ones are left out. */
const wideAndNarrow = fc
  .tuple(anyShape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat())
  .map(([wide, ones, drop]) => {
    const narrow = wide.map((d, i) => (ones[i] ? 1 : d)).slice(drop % (wide.length + 1));
    return { wide, narrow };
  });

describe('broadcast', () => {
  test('of a shape and one that fits it is that shape, from both sides', () => {
    fc.assert(
      fc.property(wideAndNarrow, ({ wide, narrow }) => {
        expect(broadcast('Add', wide, narrow)).toEqual(wide);
        expect(broadcast('Add', narrow, wide)).toEqual(wide);
      }),
    );
  });

  test('follows the rule of NumPy, or names both shapes', () => {
    fc.assert(
      fc.property(anyShape, anyShape, (a, b) => {
        const rank = Math.max(a.length, b.length);
        const at = (s: readonly number[], i: number) => s[s.length - rank + i] ?? 1;
        const pairs = Array.from({ length: rank }, (_, i) => [at(a, i), at(b, i)] as const);
        if (pairs.every(([x, y]) => x === y || x === 1 || y === 1)) {
          expect(broadcast('Add', a, b)).toEqual(pairs.map(([x, y]) => Math.max(x, y)));
        } else {
          expect(() => broadcast('Add', a, b)).toThrow(
            `Add: [${a.join(', ')}] and [${b.join(', ')}] do not broadcast`,
          );
        }
      }),
    );
  });
});

describe('sumTo', () => {
  test('keeps the sum, and is what broadcasting passes back', () => {
    fc.assert(
      fc.property(
        wideAndNarrow,
        fc.infiniteStream(fc.integer({ min: -9, max: 9 })),
        (shapes, ints) => {
          const { wide, narrow } = shapes;
          const graph = new Graph();
          const weights = graph.input('weights', wide, 'float64');
          const x = graph.input('x', narrow, 'float64');
          const summed = sumTo(weights, narrow);
          expect(summed.shape).toEqual(narrow);
          graph.output('summed', summed);
          const [gradient] = gradients(reduceSum(mul(expand(x, wide), weights)), [x]);
          graph.output('gradient', gradient!);
          const numbers = Array.from({ length: sizeOf(wide) }, () => Number(ints.next().value));
          const feeds = new Map([
            ['weights', numbers],
            ['x', new Array<number>(sizeOf(narrow)).fill(1)],
          ]);
          const results = interpret(graph, feeds);
          const total = (data: Float64Array) => data.reduce((a, b) => a + b, 0);
          expect(total(results.get('summed')!.data)).toBe(numbers.reduce((a, b) => a + b, 0));
          expect(results.get('gradient')!.data).toEqual(results.get('summed')!.data);
        },
      ),
    );
  });
});

describe('axes', () => {
  test.each([
    [0, 3, 0],
    [2, 3, 2],
    [-1, 3, 2],
    [-3, 3, 0],
  ])('%i of rank %i is %i', (axis, rank, expected) => {
    expect(normalAxis('Softmax', axis, rank)).toBe(expected);
  });

  test.each([
    [3, 3],
    [-4, 3],
    [0, 0],
    [0.5, 2],
  ])('%d of rank %i is refused', (axis, rank) => {
    expect(() => normalAxis('Softmax', axis, rank)).toThrow(
      `Softmax: axis ${axis} is out of range for rank ${rank}`,
    );
  });

  test('strides are those of row-major order', () => {
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
    expect(stridesOf([])).toEqual([]);
  });

  test('a permutation and its inverse undo each other', () => {
    const permutation = fc
      .nat({ max: 6 })
      .chain((n) => fc.shuffledSubarray([...Array(n).keys()], { minLength: n, maxLength: n }));
    fc.assert(
      fc.property(permutation, (perm) => {
        const inverse = inversePermutation(perm);
        expect(perm.map((p) => inverse[p])).toEqual([...perm.keys()]);
      }),
    );
  });
});
