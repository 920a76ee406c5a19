/**
 * @file Adam (Kingma & Ba 2014) with EMA of the weights, emitted into the graph of a step.
 *
 * Parameters, moments and EMA are flat vectors, cut into chunks of whole parameters so that an
 * update stays in the processor's cache. All gradients pass through one global factor (clipping and
 * the guard against non-finite values), so an update can only run after every weight was read: the
 * new vectors may be written over the old ones.
 */
import type { Graph, Value } from '../graph/graph.ts';
import {
  abs,
  add,
  concat,
  div,
  lessOrEqual,
  max,
  min,
  mul,
  reduceSumSquare,
  reshape,
  sqrt,
  square,
  sub,
  where,
} from '../graph/ops.ts';
import type { ParameterList } from '../nn/parameters.ts';

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest norm of all gradients together; 0 = not clipped. */
  readonly clipNorm: number;
  /** Whether an exponential moving average of the weights is kept. */
  readonly ema: boolean;
}

/** Elements of a chunk: 4 MiB a vector, so that the handful of vectors in use fits in cache. */
const CHUNK_ELEMENTS = 1 << 20;

/** Largest finite float32: what exceeds it, or is not a number, is not finite. */
const MAX_FLOAT32 = 3.4028234663852886e38;

export interface Chunk {
  /** Range of the flat vectors. */
  readonly start: number;
  readonly end: number;
  /** Parameters of the list in this chunk: [from, to). */
  readonly from: number;
  readonly to: number;
}

/** Consecutive parameters joined until a chunk is full. */
export function chunksOf(list: ParameterList): Chunk[] {
  const chunks: Chunk[] = [];
  let from = 0;
  for (const [i, spec] of list.specs.entries()) {
    const start = list.specs[from]!.offset;
    const end = spec.offset + spec.size;
    if (end - start >= CHUNK_ELEMENTS || i === list.specs.length - 1) {
      chunks.push({ start, end, from, to: i + 1 });
      from = i + 1;
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

/** Name of a chunk of a state vector as graph input; the output has a prime. */
export const stateInput = (name: StateName, chunk: number) => `state/${name}/${chunk}`;
export const stateOutput = (name: StateName, chunk: number) => `${stateInput(name, chunk)}'`;

/** Scalars fed at every step. */
export const RATE_INPUT = 'adam/rate';
export const EPSILON_INPUT = 'adam/epsilon';
export const EMA_INPUT = 'adam/ema';

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

/**
 * Emits the update of all chunks. Returns the norm of the gradients before clipping. When it or the
 * loss is not finite, every state vector keeps its value.
 */
export function adam(
  graph: Graph,
  list: ParameterList,
  gradients: readonly Value[],
  loss: Value,
  options: AdamOptions,
): Value {
  const chunks = chunksOf(list);
  const { dtype } = loss;
  const flat = chunks.map(({ from, to }) =>
    concat(
      gradients.slice(from, to).map((g) => reshape(g, [-1])),
      0,
    ),
  );
  const squares = flat.map((g) => reduceSumSquare(g)).reduce((a, b) => add(a, b));
  const norm = sqrt(squares);
  const finite = lessOrEqual(add(squares, abs(loss)), MAX_FLOAT32);
  const zero = graph.scalar(0, dtype);
  const ifFinite = (x: Value) => where(finite, x, zero);
  const rate = ifFinite(graph.input(RATE_INPUT, [], dtype));
  const epsilon = graph.input(EPSILON_INPUT, [], dtype);
  const forget1 = ifFinite(graph.scalar(1 - options.beta1, dtype));
  const forget2 = ifFinite(graph.scalar(1 - options.beta2, dtype));
  const emaRate = options.ema ? ifFinite(graph.input(EMA_INPUT, [], dtype)) : zero;
  const clip = options.clipNorm > 0 ? min(div(options.clipNorm, max(norm, 1e-12)), 1) : undefined;

  for (const [i, { start, end }] of chunks.entries()) {
    const state = (name: StateName) => graph.input(stateInput(name, i), [end - start], dtype);
    const guarded = where(finite, clip ? mul(flat[i]!, clip) : flat[i]!, zero);
    const moment =
      options.beta1 === 0
        ? guarded
        : add(state('moment1'), mul(sub(guarded, state('moment1')), forget1));
    const moment2 = add(state('moment2'), mul(sub(square(guarded), state('moment2')), forget2));
    const step = mul(div(moment, add(sqrt(moment2), epsilon)), rate);
    const weights = sub(state('weights'), step);
    if (options.beta1 !== 0) graph.output(stateOutput('moment1', i), moment);
    graph.output(stateOutput('moment2', i), moment2);
    graph.output(stateOutput('weights', i), weights);
    if (options.ema) {
      const ema = state('ema');
      graph.output(stateOutput('ema', i), add(ema, mul(sub(weights, ema), emaRate)));
    }
  }
  return norm;
}
