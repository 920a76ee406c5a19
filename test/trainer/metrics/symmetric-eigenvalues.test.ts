/** Eigenvalues against closed forms and against what any matrix's eigenvalues must add up to. */
import { expect, test } from 'vitest';
import { symmetricEigenvalues } from '../../../src/trainer/metrics/symmetric-eigenvalues.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

const rising = (values: Float64Array) => Array.from(values).sort((a, b) => a - b);

function matrix(size: number, element: (i: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, at) =>
    element(Math.floor(at / size), at % size),
  );
}

test.each([1, 2, 3, 7, 40])('a chain of %i springs: 2 - 2 cos(k pi / (n + 1))', async (size) => {
  const chain = matrix(size, (i, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0));
  const expected = Array.from(
    { length: size },
    (_, k) => 2 - 2 * Math.cos(((k + 1) * Math.PI) / (size + 1)),
  );
  const got = rising(await symmetricEigenvalues(chain, size));
  got.forEach((value, k) => {
    expect(value).toBeCloseTo(expected[k]!, 13);
  });
});

test('a full matrix turned out of its diagonal', async () => {
  // H = I - 2 h h^T turns the diagonal matrix; its eigenvalues stay.
  const wanted = [-3.5, 0, 0.25, 0.25, 7, 1e-3, 100];
  const h = [0.1, -0.7, 0.3, 0.2, 0.5, -0.2, 0.25];
  const length = Math.hypot(...h);
  const turn = (i: number, j: number) => (i === j ? 1 : 0) - (2 * h[i]! * h[j]!) / length ** 2;
  const turned = matrix(7, (i, j) =>
    wanted.reduce((sum, value, k) => sum + turn(i, k) * value * turn(k, j), 0),
  );
  const got = rising(await symmetricEigenvalues(turned, 7));
  got.forEach((value, k) => {
    expect(value).toBeCloseTo(rising(Float64Array.from(wanted))[k]!, 12);
  });
});

test('sum and sum of squares are those of the matrix', async () => {
  const size = 60;
  const noise = new Float32Array(size * size);
  fillNormal(noise, 3, 900, 0);
  const random = matrix(size, (i, j) => noise[Math.max(i, j) * size + Math.min(i, j)]!);
  const trace = random.reduce((sum, v, at) => sum + (at % (size + 1) === 0 ? v : 0), 0);
  const squares = random.reduce((sum, v) => sum + v * v, 0);
  const got = await symmetricEigenvalues(random.slice(), size);
  expect(got.reduce((sum, v) => sum + v, 0)).toBeCloseTo(trace, 10);
  expect(got.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(squares, 8);
});

test.each([
  { name: 'zeros', element: () => 0, expected: [0, 0, 0, 0, 0] },
  { name: 'ones, of rank 1', element: () => 1, expected: [0, 0, 0, 0, 5] },
  {
    name: 'a diagonal',
    element: (i: number, j: number) => (i === j ? i : 0),
    expected: [0, 1, 2, 3, 4],
  },
])('$name', async ({ element, expected }) => {
  const got = rising(await symmetricEigenvalues(matrix(5, element), 5));
  got.forEach((value, k) => {
    expect(value).toBeCloseTo(expected[k]!, 14);
  });
});

test('an empty matrix has none', async () => {
  expect(await symmetricEigenvalues(new Float64Array(0), 0)).toHaveLength(0);
});

test('an aborted signal stops it', async () => {
  await expect(
    symmetricEigenvalues(
      matrix(9, () => 1),
      9,
      AbortSignal.abort(),
    ),
  ).rejects.toMatchObject({ code: 'INTERRUPTED' });
});
