import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { POINT_SET_NAMES, pointSet } from '../../../src/trainer/data/points.ts';
import { energyDistance } from '../../../src/trainer/metrics/energy-distance.ts';

describe('energyDistance', () => {
  test.each([
    { what: 'one point and itself', dim: 2, a: [1, 2], b: [1, 2], expected: 0 },
    { what: 'two points', dim: 2, a: [0, 0], b: [3, 4], expected: 10 },
    // 2 * mean(1, 3) - mean(0, 2, 2, 0) - 0
    { what: 'two points and one', dim: 1, a: [0, 4], b: [1], expected: 2 },
    // 2 * mean(3, 3, 3, 3) - mean(0, 0, 0, 0) - 0
    { what: 'in three dimensions', dim: 3, a: [0, 0, 0], b: [1, 2, 2, 1, 2, 2], expected: 6 },
  ])('of $what is $expected', ({ dim, a, b, expected }) => {
    const got = energyDistance(Float32Array.from(a), Float32Array.from(b), dim);
    expect(got).toBeCloseTo(expected, 6);
    expect(energyDistance(Float32Array.from(b), Float32Array.from(a), dim)).toBeCloseTo(got, 12);
  });

  test('two dimensions have the value that the general loop gives with a third of zeros', () => {
    const points = fc
      .array(fc.tuple(fc.float({ noNaN: true, min: -9, max: 9 }), fc.nat(9)), { minLength: 1 })
      .map((list) => ({
        plane: Float32Array.from(list.flat()),
        space: Float32Array.from(list.flatMap((p) => [...p, 0])),
      }));
    fc.assert(
      fc.property(points, points, (a, b) => {
        const plane = energyDistance(a.plane, b.plane, 2);
        expect(energyDistance(a.space, b.space, 3)).toBeCloseTo(plane, 9);
        expect(plane).toBeGreaterThan(-1e-9);
      }),
    );
  });

  test.each([
    { a: [], b: [1, 2] },
    { a: [1, 2], b: [1, 2, 3] },
  ])('refuses $a and $b as points in the plane', ({ a, b }) => {
    const call = () => energyDistance(Float32Array.from(a), Float32Array.from(b), 2);
    expect(call).toThrow(expect.objectContaining({ code: 'SHAPE_MISMATCH' }));
  });

  test.each(POINT_SET_NAMES)('two draws of %s are close, two sets are not', (name) => {
    const set = pointSet(name);
    const other = pointSet(name === 'moons' ? '8g' : 'moons');
    const { x } = set.batch(1, 0, 4000);
    // About 1.2 / n on these sets, for draws from one distribution.
    expect(energyDistance(x, set.batch(2, 0, 4000).x, 2)).toBeLessThan(0.004);
    expect(energyDistance(x, other.batch(2, 0, 4000).x, 2)).toBeGreaterThan(0.02);
  });
});
