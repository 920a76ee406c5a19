/** The factor gives the matrix back, and shows its rank. */
import { expect, test } from 'vitest';
import { pivotedCholesky } from '../../../src/trainer/metrics/pivoted-cholesky.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';

const SIZE = 12;

/** G^T G for random G [rank, size] with falling columns. */
function gram(rank: number): Float64Array {
  const noise = new Float32Array(rank * SIZE);
  fillNormal(noise, rank, 901, 0);
  return Float64Array.from({ length: SIZE * SIZE }, (_, at) => {
    const [i, j] = [Math.floor(at / SIZE), at % SIZE];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += noise[r * SIZE + i]! * noise[r * SIZE + j]!;
    return sum / ((1 + i) * (1 + j));
  });
}

test.each([0, 1, 5, 11, 12])('rank %i', async (rank) => {
  const matrix = gram(rank);
  const got = await pivotedCholesky(matrix.slice(), SIZE);
  expect(got.rank).toBe(rank);
  expect(got.factor).toHaveLength(rank * SIZE);
  for (let i = 0; i < SIZE; i++) {
    for (let j = 0; j < SIZE; j++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += got.factor[r * SIZE + i]! * got.factor[r * SIZE + j]!;
      expect(sum).toBeCloseTo(matrix[i * SIZE + j]!, 12);
    }
  }
});
