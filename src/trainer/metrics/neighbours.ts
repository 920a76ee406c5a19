/**
 * @file Fidelity and diversity by nearest neighbours: improved precision and recall (Kynkaanniemi et al. 2019), density and
 * coverage (Naeem et al. 2020).
 */
import { gemm } from '../graph/ops.ts';
import { type Product, product } from './engine-product.ts';
import { throwIfStopped } from './event-loop-turns.ts';
import { assertSamples, BATCH_ROWS, type FeatureSource, forEachBatch } from './feature-source.ts';
import { columnMeans } from './feature-statistics.ts';

export interface NeighbourShares {
  /** Share of fakes inside the ball of any real. */
  readonly precision: number;
  /** Share of reals inside the ball of any fake. */
  readonly recall: number;
  /** Mean number of real balls around a fake, over the number of neighbours; 1 where both are the same distribution. */
  readonly density: number;
  /** Share of reals whose ball holds a fake. */
  readonly coverage: number;
}

/** Squared distances between rows `i` of one block and `j` of another. */
type UsePair = (i: number, j: number, square: number) => void;

/**
 * Shares with balls that reach to the k-th neighbour other than the point itself; inside is strictly nearer, as in the
 * package prdc. All pairs are compared in float64, in blocks. Throws VALUE_OUT_OF_RANGE for k samples or fewer, and
 * INTERRUPTED.
 */
export async function neighbourShares(
  real: FeatureSource,
  fake: FeatureSource,
  k: number,
  signal?: AbortSignal,
): Promise<NeighbourShares> {
  for (const set of [real, fake]) assertSamples(set, k + 1, `${k} nearest neighbours`);
  using blocks = new DistanceBlocks(real.dim, await centre(real), signal);
  const realRadii = await radii(blocks, real, k);
  const fakeRadii = await radii(blocks, fake, k);
  const isReached = new Uint8Array(real.count);
  const nearest = new Float64Array(real.count).fill(Number.POSITIVE_INFINITY);
  const balls = new Float64Array(fake.count);
  await blocks.forEachPair(real, fake, (i, j, square) => {
    if (square < realRadii[i]!) balls[j]! += 1;
    if (square < fakeRadii[j]!) isReached[i] = 1;
    if (square < nearest[i]!) nearest[i] = square;
  });
  const share = (values: ArrayLike<number>, isIn: (value: number, i: number) => boolean) =>
    Array.from(values).filter(isIn).length / values.length;
  return {
    precision: share(balls, (count) => count > 0),
    recall: share(isReached, (reached) => reached === 1),
    density: balls.reduce((sum, count) => sum + count, 0) / (k * fake.count),
    coverage: share(nearest, (square, i) => square < realRadii[i]!),
  };
}

/** Squared distance of each row to its k-th neighbour. */
async function radii(
  blocks: DistanceBlocks,
  source: FeatureSource,
  k: number,
): Promise<Float64Array> {
  // The k least of each row so far, in rising order.
  const least = new Float64Array(source.count * k).fill(Number.POSITIVE_INFINITY);
  await blocks.forEachPair(source, source, (i, j, square) => {
    const last = i * k + k - 1;
    if (i === j || square >= least[last]!) return;
    let at = last;
    for (; at > i * k && least[at - 1]! > square; at--) least[at] = least[at - 1]!;
    least[at] = square;
  });
  return Float64Array.from({ length: source.count }, (_, i) => least[i * k + k - 1]!);
}

async function centre(source: FeatureSource): Promise<Float64Array> {
  return columnMeans(await source.rows(0, Math.min(BATCH_ROWS, source.count)), source.dim);
}

/** All pairs of two sets, a block of rows of each at a time. */
class DistanceBlocks implements Disposable {
  readonly #dim: number;
  /** Taken from all rows: |x|^2 + |y|^2 - 2 x.y cancels less the nearer they are to 0. */
  readonly #centre: Float64Array;
  readonly #signal: AbortSignal | undefined;
  readonly #products: Product;

  constructor(dim: number, centre: Float64Array, signal: AbortSignal | undefined) {
    this.#dim = dim;
    this.#centre = centre;
    this.#signal = signal;
    const shape = [BATCH_ROWS, dim];
    this.#products = product('distances', { a: shape, b: shape }, ({ a, b }) => ({
      dots: gemm(a!, b!, undefined, { transB: true }),
    }));
  }

  [Symbol.dispose](): void {
    this.#products[Symbol.dispose]();
  }

  async forEachPair(first: FeatureSource, second: FeatureSource, use: UsePair): Promise<void> {
    const { memory } = this.#products;
    await forEachBatch(first, this.#signal, async (aRows, aFrom) => {
      const aSquares = this.#load(aRows, memory['a']!);
      await forEachBatch(second, this.#signal, async (bRows, bFrom) => {
        const bSquares = this.#load(bRows, memory['b']!);
        await this.#products.run();
        throwIfStopped(this.#signal);
        this.#useBlock(aSquares, bSquares, (i, j, square) => use(aFrom + i, bFrom + j, square));
      });
    });
  }

  #useBlock(aSquares: Float64Array, bSquares: Float64Array, use: UsePair): void {
    const dots = this.#products.memory['dots']!;
    const rounding = this.#dim * Number.EPSILON;
    for (let i = 0; i < aSquares.length; i++) {
      const a = aSquares[i]!;
      for (let j = 0; j < bSquares.length; j++) {
        const sum = a + bSquares[j]!;
        const square = sum - 2 * dots[i * BATCH_ROWS + j]!;
        // What rounding cannot tell from 0 is 0, so that equal points are equal and a collapsed set has no radius.
        use(i, j, square <= rounding * sum ? 0 : square);
      }
    }
  }

  /** Rows less the centre; returns their squared lengths. */
  #load(rows: Float64Array, into: Float64Array): Float64Array {
    const dim = this.#dim;
    const squares = new Float64Array(rows.length / dim);
    for (let i = 0; i < squares.length; i++) {
      for (let j = 0; j < dim; j++) {
        const value = rows[i * dim + j]! - this.#centre[j]!;
        into[i * dim + j] = value;
        squares[i]! += value * value;
      }
    }
    into.fill(0, rows.length);
    return squares;
  }
}
