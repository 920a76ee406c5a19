/**
 * @file The normal numbers that PyTorch draws on a CPU, and the initial noise that ComfyUI makes of them.
 *
 * After pytorch aten/src/ATen/native/cpu/DistributionTemplates.h and aten/src/ATen/core/DistributionsHelper.h. Draws of
 * fewer than 16 numbers are equal to the bit. Longer ones differ in the last bits, as they do between PyTorch's own
 * processor paths, whose logarithms and sines are approximations.
 */
import { FlowstepError } from '../../errors.ts';
import { float32, type Shape, sizeOf, type Tensor } from '../tensor.ts';
import { Mt19937 } from './mt19937.ts';
import { type Seed, seedWords } from './seed.ts';

/** PyTorch draws fewer numbers than this one by one, more in blocks of as many. */
const BLOCK = 16;
const HALF = BLOCK / 2;

const TWO_PI_FLOAT32 = Math.fround(2 * Math.PI);

/** A torch.Generator after manual_seed(seed): draws go on where the last one ended. */
export class TorchGenerator {
  readonly #words: Mt19937;
  /** Second half of a pair drawn one by one; kept for the next such draw, also across block draws. */
  #spare: number | undefined;

  /** Only the low 32 bits of the seed reach the generator; throws VALUE_OUT_OF_RANGE for what is not a seed. */
  constructor(seed: Seed) {
    this.#words = new Mt19937(seedWords(seed)[0]);
  }

  /** `count` standard normal numbers, as torch.randn(count, generator=...) gives them. */
  randn(count: number): Float32Array {
    const out = new Float32Array(count);
    if (count < BLOCK) {
      for (let i = 0; i < count; i++) out[i] = this.#normal();
      return out;
    }
    for (let i = 0; i < count; i++) out[i] = this.#uniform24();
    for (let start = 0; start + BLOCK <= count; start += BLOCK) transformBlock(out, start);
    if (count % BLOCK !== 0) {
      // The last 16 are drawn anew, over numbers that may be finished already.
      const start = count - BLOCK;
      for (let i = start; i < count; i++) out[i] = this.#uniform24();
      transformBlock(out, start);
    }
    return out;
  }

  /** Passes over what `randn(count)` would draw. */
  skip(count: number): void {
    if (count < BLOCK) {
      this.randn(count);
      return;
    }
    const words = count + (count % BLOCK === 0 ? 0 : BLOCK);
    for (let i = 0; i < words; i++) this.#words.next();
  }

  /** Box-Muller in double precision, two numbers at a time. */
  #normal(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    const angle = 2 * Math.PI * this.#uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  #uniform24(): number {
    return (this.#words.next() & 0xffffff) * 2 ** -24;
  }

  /** The low 53 bits of a 64-bit number, whose high word is drawn first. */
  #uniform53(): number {
    const high = this.#words.next() & 0x1fffff;
    return (high * 2 ** 32 + this.#words.next()) * 2 ** -53;
  }
}

/**
 * ComfyUI's prepare_noise for a latent of `shape` [N, ...]: float32 of that shape. With `indices`, one for each item
 * (a latent's batch_index), item i is draw number indices[i] of single items; without them the batch is one draw.
 */
export function prepareNoise(
  shape: Shape,
  seed: Seed,
  indices?: readonly number[],
): Tensor<'float32'> {
  return drawn(new TorchGenerator(seed), shape, indices);
}

/**
 * What ComfyUI's samplers add between steps on a CPU, `count` times: its default_noise_sampler draws all from one generator,
 * which starts from the next seed. With `indices`, a batch is taken to end with the last of them.
 */
export function transitionNoise(
  shape: Shape,
  seed: number,
  count: number,
  indices?: readonly number[],
): Tensor<'float32'>[] {
  const generator = new TorchGenerator(BigInt(seed) + 1n);
  return Array.from({ length: count }, () => drawn(generator, shape, indices));
}

/**
 * The same noise part by part, for more samples than are wanted in memory at once: what `prepareNoise` and, as
 * `freshNoise`, `transitionNoise` give of a batch of `shape`.
 */
export class NoiseParts {
  readonly #item: Shape;
  readonly #noise: TorchGenerator;
  readonly #fresh: readonly TorchGenerator[];
  /** Items that are still to come. */
  #left: number;

  constructor([count = 0, ...item]: Shape, seed: number, transitions: number) {
    this.#item = item;
    this.#left = count;
    this.#noise = new TorchGenerator(seed);
    this.#fresh = Array.from({ length: transitions }, (_, k) => {
      const generator = new TorchGenerator(BigInt(seed) + 1n);
      for (let before = 0; before < k; before++) generator.skip(count * sizeOf(item));
      return generator;
    });
  }

  /** The noise of the next `batch` items, or the least multiple that is drawn in whole blocks; at the end of all that are left. */
  next(batch: number): { noise: Tensor<'float32'>; freshNoise: Tensor<'float32'>[] } {
    const size = sizeOf(this.#item);
    let items = batch;
    while ((items * size) % BLOCK !== 0) items += batch;
    // What is left must be a block at least: fewer numbers are drawn in another way.
    if ((this.#left - items) * size < BLOCK) items = this.#left;
    this.#left -= items;
    const draw = (generator: TorchGenerator) =>
      float32(generator.randn(items * size), [items, ...this.#item]);
    return { noise: draw(this.#noise), freshNoise: this.#fresh.map(draw) };
  }
}

function drawn(
  generator: TorchGenerator,
  shape: Shape,
  indices: readonly number[] | undefined,
): Tensor<'float32'> {
  if (indices === undefined) return float32(generator.randn(sizeOf(shape)), shape);
  checkIndices(shape, indices);
  const itemSize = sizeOf(shape.slice(1));
  const out = new Float32Array(indices.length * itemSize);
  const last = Math.max(-1, ...indices);
  for (let draw = 0; draw <= last; draw++) {
    const item = generator.randn(itemSize);
    for (const [i, index] of indices.entries()) {
      if (index === draw) out.set(item, i * itemSize);
    }
  }
  return float32(out, shape);
}

function checkIndices(shape: Shape, indices: readonly number[]): void {
  if (indices.length !== shape[0]) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${indices.length} noise indices for a latent of shape [${shape.join(', ')}]`,
    );
  }
  const wrong = indices.find((index) => !Number.isSafeInteger(index) || index < 0);
  if (wrong !== undefined) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `noise index ${wrong} is not a whole number from 0 up`,
    );
  }
}

/** Box-Muller on 16 uniform numbers: those of the first half give radii, those of the second angles. */
function transformBlock(values: Float32Array, start: number): void {
  // Rounded to float32 wherever PyTorch's vector code holds a float32.
  for (let j = start; j < start + HALF; j++) {
    const log = Math.fround(Math.log(1 - values[j]!));
    const radius = Math.fround(Math.sqrt(-2 * log));
    const angle = Math.fround(TWO_PI_FLOAT32 * values[j + HALF]!);
    values[j] = radius * Math.fround(Math.cos(angle));
    values[j + HALF] = radius * Math.fround(Math.sin(angle));
  }
}
