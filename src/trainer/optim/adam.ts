/**
 * @file Adam (Kingma & Ba 2014) with EMA of the weights, as a graph over flat vectors.
 *
 * Weights, moments, EMA and gradient are flat float32 vectors, cut into chunks that stay in the
 * processor's cache while they are worked on. Every output is written over its input: an element is
 * read before it is written, and nothing else reads it.
 */
import { Graph, type Value } from '../graph/graph.ts';
import {
  add,
  concat,
  div,
  lessOrEqual,
  max,
  min,
  mul,
  reduceSumSquare,
  reshape,
  split,
  sqrt,
  square,
  sub,
  where,
} from '../graph/ops.ts';
import { type Shape, sizeOf } from '../tensor.ts';

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest norm of all gradients together; 0 = not clipped. */
  readonly clipNorm: number;
  /** Largest size of an element of the gradient, after the norm is clipped; 0 = not clipped. */
  readonly clipValue: number;
  /** Whether an exponential moving average of the weights is kept. */
  readonly ema: boolean;
}

/** As Kingma and Ba have them. */
export const USUAL_ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** Elements of a chunk: the half dozen vectors in use take 6 MiB. */
const CHUNK_ELEMENTS = 1 << 18;

/** Largest finite float32: what exceeds it, or is not a number, is not finite. */
const MAX_FLOAT32 = 3.4028234663852886e38;

/** Range [start, end) of the flat vectors. */
export interface Chunk {
  readonly start: number;
  readonly end: number;
  /** Shapes of the tensors that weights and gradient are there, one after the other; none = they are flat as well. */
  readonly pieces?: readonly Shape[];
}

export function chunksOf(size: number, most: number = CHUNK_ELEMENTS): Chunk[] {
  return Array.from({ length: Math.ceil(size / most) }, (_, i) => ({
    start: i * most,
    end: Math.min((i + 1) * most, size),
  }));
}

/** Elements of a chunk on other devices: more are faster, but some read no more than 128 MiB at once, and all need room to work. */
export const DEVICE_CHUNK_ELEMENTS = 1 << 24;

/** Chunks of whole tensors, for devices where a part of a vector cannot be bound. */
export function chunksOfPieces(shapes: readonly Shape[]): Chunk[] {
  const chunks: { start: number; end: number; pieces: Shape[] }[] = [];
  for (const shape of shapes) {
    const last = chunks.at(-1);
    const size = sizeOf(shape);
    if (last && last.end - last.start + size <= DEVICE_CHUNK_ELEMENTS) {
      last.end += size;
      last.pieces.push(shape);
    } else {
      const start = last?.end ?? 0;
      chunks.push({ start, end: start + size, pieces: [shape] });
    }
  }
  return chunks;
}

/** The flat vectors that the optimiser keeps; a first moment only when beta1 is not 0. */
export type StateName = 'weights' | 'moment1' | 'moment2' | 'ema';

export function stateNames(options: AdamOptions): StateName[] {
  return [
    'weights',
    ...(options.beta1 === 0 ? [] : (['moment1'] as const)),
    'moment2',
    ...(options.ema ? (['ema'] as const) : []),
  ];
}

/** Name of a chunk of a vector as graph input; the output that replaces it has a prime. */
export const chunkInput = (name: StateName | 'gradient', chunk: number) => `${name}/${chunk}`;
export const chunkOutput = (name: StateName, chunk: number) => `${name}/${chunk}'`;

/** The same for piece `k` of a chunk. */
export const pieceInput = (name: 'weights' | 'gradient', chunk: number, k: number) =>
  `${name}/${chunk}/${k}`;
export const pieceOutput = (chunk: number, k: number) => `weights/${chunk}/${k}'`;

/** Scalars fed at every update, and the output with the norm of the gradient before clipping. */
export const RATE_INPUT = 'rate';
export const EPSILON_INPUT = 'epsilon';
export const EMA_INPUT = 'ema-rate';
export const NORM_OUTPUT = 'norm';

/**
 * What is fed for update `k` (from 1) at learning rate `lr`. PyTorch's rule
 * p -= lr / (1 - beta1^k) m / (sqrt(v) / sqrt(1 - beta2^k) + eps) multiplied out with
 * r = sqrt(1 - beta2^k): p -= (lr r / (1 - beta1^k)) m / (sqrt(v) + eps r).
 */
export function adamScalars(
  options: AdamOptions,
  k: number,
  lr: number,
): { rate: number; epsilon: number } {
  const r = Math.sqrt(1 - options.beta2 ** k);
  return { rate: (lr * r) / (1 - options.beta1 ** k), epsilon: options.epsilon * r };
}

/** The update of `size` parameters. When the gradient is not finite, every vector keeps its value. */
export function adamGraph(
  size: number,
  options: AdamOptions,
  dtype: 'float32' | 'float64' = 'float32',
  chunks: readonly Chunk[] = chunksOf(size),
): Graph {
  const graph = new Graph();
  const input = (name: StateName | 'gradient', i: number) => {
    const { start, end, pieces } = chunks[i]!;
    if (!pieces || (name !== 'gradient' && name !== 'weights')) {
      return graph.input(chunkInput(name, i), [end - start], dtype);
    }
    const flat = pieces.map((shape, k) =>
      reshape(graph.input(pieceInput(name, i, k), shape, dtype), [sizeOf(shape)]),
    );
    return flat.length === 1 ? flat[0]! : concat(flat, 0);
  };
  const outputWeights = (i: number, weights: Value) => {
    const { pieces } = chunks[i]!;
    if (!pieces) return graph.output(chunkOutput('weights', i), weights);
    for (const [k, piece] of apart(weights, pieces.map(sizeOf)).entries()) {
      graph.output(pieceOutput(i, k), reshape(piece, pieces[k]!));
    }
  };

  const squares = chunks
    .map((_, i) => reduceSumSquare(input('gradient', i)))
    .reduce((a, b) => add(a, b));
  const norm = sqrt(squares);
  graph.output(NORM_OUTPUT, norm);

  const finite = lessOrEqual(squares, MAX_FLOAT32);
  const zero = graph.scalar(0, dtype);
  const ifFinite = (x: Value) => where(finite, x, zero);
  const rate = ifFinite(graph.input(RATE_INPUT, [], dtype));
  const epsilon = graph.input(EPSILON_INPUT, [], dtype);
  const forget1 = ifFinite(graph.scalar(1 - options.beta1, dtype));
  const forget2 = ifFinite(graph.scalar(1 - options.beta2, dtype));
  const emaRate = options.ema ? ifFinite(graph.input(EMA_INPUT, [], dtype)) : zero;
  const clip = options.clipNorm > 0 ? min(div(options.clipNorm, max(norm, 1e-12)), 1) : undefined;

  for (const i of chunks.keys()) {
    const gradient = input('gradient', i);
    const g = ifFinite(clipped(clip ? mul(gradient, clip) : gradient, options.clipValue));
    /** old + (target - old) rate, written over `old`. */
    const towards = (name: StateName, target: Value, by: Value) => {
      const old = input(name, i);
      const next = add(old, mul(sub(target, old), by));
      graph.output(chunkOutput(name, i), next);
      return next;
    };
    const moment1 = options.beta1 === 0 ? g : towards('moment1', g, forget1);
    const moment2 = towards('moment2', square(g), forget2);
    const step = mul(div(moment1, add(sqrt(moment2), epsilon)), rate);
    const weights = sub(input('weights', i), step);
    outputWeights(i, weights);
    if (options.ema) towards('ema', weights, emaRate);
  }
  return graph;
}

/** Parts that a kernel may split a vector into: WebGPU binds eight buffers to a kernel on every card. */
const MOST_PARTS = 7;

/** A vector cut into pieces, by few kernels: into few parts, and these again. */
function apart(vector: Value, sizes: readonly number[]): readonly Value[] {
  if (sizes.length === 1) return [vector];
  let each = 1;
  while (each * MOST_PARTS < sizes.length) each *= MOST_PARTS;
  const parts = Array.from({ length: Math.ceil(sizes.length / each) }, (_, i) =>
    sizes.slice(i * each, (i + 1) * each),
  );
  const lengths = parts.map((part) => part.reduce((sum, size) => sum + size, 0));
  return split(vector, 0, lengths).flatMap((value, i) => apart(value, parts[i]!));
}

/** Each element within [-limit, limit]; 0 = as it is. */
function clipped(gradient: Value, limit: number): Value {
  return limit > 0 ? max(min(gradient, limit), -limit) : gradient;
}
