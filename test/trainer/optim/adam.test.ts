/** Adam as a graph, against PyTorch's rule in plain code. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { assertInPlaceSafe } from '../../../src/trainer/graph/in-place.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import {
  type AdamOptions,
  adamGraph,
  adamScalars,
  chunkInput,
  chunkOutput,
  chunksOf,
  chunksOfPieces,
  EMA_INPUT,
  EPSILON_INPUT,
  NORM_OUTPUT,
  pieceInput,
  pieceOutput,
  RATE_INPUT,
  stateNames,
} from '../../../src/trainer/optim/adam.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { float32, sizeOf } from '../../../src/trainer/tensor.ts';
import { relativeGap } from '../../support/gradcheck.ts';
import { randomNumbers } from '../../support/operator-cases.ts';

const EMA_RATE = 0.05;

type State = Map<string, number[]>;

/** torch.optim.Adam as its documentation has it, with clip_grad_norm_ before and an average after it. */
function plainAdam(
  state: State,
  gradient: readonly number[],
  options: AdamOptions,
  k: number,
  lr: number,
) {
  const norm = Math.hypot(...gradient);
  const clip = options.clipNorm > 0 ? Math.min(options.clipNorm / norm, 1) : 1;
  const { beta1, beta2, epsilon, clipValue } = options;
  const weights = state.get('weights')!;
  const moment1 = state.get('moment1');
  const moment2 = state.get('moment2')!;
  const ema = state.get('ema');
  for (const [i, raw] of gradient.entries()) {
    const short = raw * clip;
    const g = clipValue > 0 ? Math.max(-clipValue, Math.min(clipValue, short)) : short;
    const m = beta1 * (moment1?.[i] ?? 0) + (1 - beta1) * g;
    if (moment1) moment1[i] = m;
    moment2[i] = beta2 * moment2[i]! + (1 - beta2) * g * g;
    const mHat = m / (1 - beta1 ** k);
    const vHat = moment2[i]! / (1 - beta2 ** k);
    weights[i]! -= (lr * mHat) / (Math.sqrt(vHat) + epsilon);
    if (ema) ema[i] = (1 - EMA_RATE) * ema[i]! + EMA_RATE * weights[i]!;
  }
  return norm;
}

function startOf(size: number, options: AdamOptions): State {
  const random = randomNumbers(11);
  const weights = Array.from({ length: size }, () => Math.fround(2 * random() - 1));
  return new Map(
    stateNames(options).map((name) => [
      name,
      name.startsWith('moment') ? new Array<number>(size).fill(0) : [...weights],
    ]),
  );
}

const gradientOf = (size: number, step: number) => {
  const random = randomNumbers(100 + step);
  return Array.from({ length: size }, () => Math.fround(3 * random() - 1));
};

/** The update on ONNX Runtime, in place as in training. */
function inPlace(size: number, options: AdamOptions, start: State) {
  const program = new Program(adamGraph(size, options), { name: 'adam' });
  onTestFinished(() => program.dispose());
  const scalars = new Map(
    [RATE_INPUT, EPSILON_INPUT, EMA_INPUT].map((name) => [name, new Float32Array(1)]),
  );
  for (const [name, data] of scalars) {
    if (name !== EMA_INPUT || options.ema) program.bindInput(name, float32(data, []));
  }
  const norm = new Float32Array(1);
  program.bindOutput(NORM_OUTPUT, float32(norm, []));
  const gradient = new Float32Array(size);
  const state = new Map([...start].map(([name, data]) => [name, Float32Array.from(data)]));
  for (const [i, { start: from, end }] of chunksOf(size).entries()) {
    const part = (vector: Float32Array) => float32(vector.subarray(from, end), [end - from]);
    program.bindInput(chunkInput('gradient', i), part(gradient));
    for (const name of stateNames(options)) {
      program.bindInput(chunkInput(name, i), part(state.get(name)!));
      program.bindOutput(chunkOutput(name, i), part(state.get(name)!));
    }
  }
  const update = (values: ArrayLike<number>, k: number, lr: number) => {
    gradient.set(values);
    const { rate, epsilon } = adamScalars(options, k, lr);
    scalars.get(RATE_INPUT)![0] = rate;
    scalars.get(EPSILON_INPUT)![0] = epsilon;
    scalars.get(EMA_INPUT)![0] = EMA_RATE;
    program.runSync();
    return norm[0]!;
  };
  return { state, update };
}

const base = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 0, clipValue: 0, ema: true };
const VARIANTS: readonly (readonly [string, AdamOptions])[] = [
  ['beta1 0.9 with an average', base],
  ['beta1 0 without an average', { ...base, beta1: 0, ema: false }],
  ['clipped by norm', { ...base, clipNorm: 1 }],
  ['clipped by value', { ...base, clipValue: 0.3 }],
  ['clipped by norm, then by value', { ...base, clipNorm: 1, clipValue: 0.3 }],
  ['a bound that is not reached', { ...base, clipNorm: 1e3 }],
  ['a large epsilon', { ...base, beta1: 0, epsilon: 0.1 }],
];

describe.each(VARIANTS)('%s', (_title, options) => {
  const size = 7;

  test('float64, interpreter', () => {
    const graph = adamGraph(size, options, 'float64');
    const expected = startOf(size, options);
    const state = new Map<string, ArrayLike<number>>(startOf(size, options));
    for (let k = 1; k <= 4; k++) {
      const gradient = gradientOf(size, k);
      const { rate, epsilon } = adamScalars(options, k, 0.01 * k);
      const results = interpret(
        graph,
        new Map<string, ArrayLike<number>>([
          [RATE_INPUT, [rate]],
          [EPSILON_INPUT, [epsilon]],
          [EMA_INPUT, [EMA_RATE]],
          [chunkInput('gradient', 0), gradient],
          ...stateNames(options).map((n) => [chunkInput(n, 0), state.get(n)!] as const),
        ]),
      );
      const norm = plainAdam(expected, gradient, options, k, 0.01 * k);
      expect(results.get(NORM_OUTPUT)!.data[0]).toBeCloseTo(norm, 12);
      for (const name of stateNames(options)) {
        state.set(name, results.get(chunkOutput(name, 0))!.data);
        expect(relativeGap(state.get(name)!, expected.get(name)!), name).toBeLessThan(1e-12);
      }
    }
  });

  test('weights and gradient as tensors that lie apart', () => {
    const shapes = [[2, 2], [1], [], [1, 1]];
    const [chunk] = chunksOfPieces(shapes);
    expect(chunk).toEqual({ start: 0, end: size, pieces: shapes });
    const graph = adamGraph(size, options, 'float64', [chunk!]);
    const state = startOf(size, options);
    const gradient = gradientOf(size, 1);
    const { rate, epsilon } = adamScalars(options, 1, 0.01);
    const feeds = new Map<string, ArrayLike<number>>([
      [RATE_INPUT, [rate]],
      [EPSILON_INPUT, [epsilon]],
      [EMA_INPUT, [EMA_RATE]],
      ...stateNames(options).map((n) => [chunkInput(n, 0), state.get(n)!] as const),
    ]);
    let start = 0;
    for (const [k, shape] of shapes.entries()) {
      const end = start + sizeOf(shape);
      feeds.set(pieceInput('gradient', 0, k), gradient.slice(start, end));
      feeds.set(pieceInput('weights', 0, k), state.get('weights')!.slice(start, end));
      start = end;
    }
    const results = interpret(graph, feeds);
    plainAdam(state, gradient, options, 1, 0.01);
    const weights = shapes.flatMap((_, k) => Array.from(results.get(pieceOutput(0, k))!.data));
    expect(relativeGap(weights, state.get('weights')!)).toBeLessThan(1e-12);
    for (const name of stateNames(options)) {
      if (name === 'weights') continue;
      expect(relativeGap(results.get(chunkOutput(name, 0))!.data, state.get(name)!)).toBeLessThan(
        1e-12,
      );
    }
  });

  test('float32 in place, ONNX Runtime', () => {
    const expected = startOf(size, options);
    const { state, update } = inPlace(size, options, expected);
    for (let k = 1; k <= 4; k++) {
      const gradient = gradientOf(size, k);
      const norm = plainAdam(expected, gradient, options, k, 0.01 * k);
      expect(Math.abs(update(gradient, k, 0.01 * k) / norm - 1)).toBeLessThan(1e-6);
    }
    for (const [name, vector] of state) {
      expect(relativeGap(vector, expected.get(name)!), name).toBeLessThan(2e-6);
    }
  });
});

describe('chunks', () => {
  test.each([1, 5, 2 ** 18, 2 ** 18 + 1, 3 * 2 ** 18])(
    'cover %i elements once, in order',
    (size) => {
      const chunks = chunksOf(size);
      expect(chunks[0]!.start).toBe(0);
      expect(chunks.at(-1)!.end).toBe(size);
      for (const [i, { start, end }] of chunks.entries()) {
        expect(end).toBeGreaterThan(start);
        expect(start).toBe(chunks[i - 1]?.end ?? 0);
      }
    },
  );

  test('two chunks are one update: the norm that clips is that of both', () => {
    const size = 2 ** 18 + 3;
    const options = { ...base, clipNorm: 0.5 };
    const expected = startOf(size, options);
    const { state, update } = inPlace(size, options, expected);
    const gradient = gradientOf(size, 1);
    const squares = gradient.reduce((sum, g) => sum + g * g, 0);
    expect(Math.abs(update(gradient, 1, 0.01) / Math.sqrt(squares) - 1)).toBeLessThan(1e-5);
    // Math.hypot takes no list of that length: the reference gets the gradient scaled.
    const scaled = gradient.map((g) => (g * 0.5) / Math.sqrt(squares));
    for (const from of [0, size - 3]) {
      const part = new Map([...expected].map(([n, v]) => [n, v.slice(from, from + 3)]));
      plainAdam(part, scaled.slice(from, from + 3), base, 1, 0.01);
      for (const [name, vector] of state) {
        const gap = relativeGap(vector.subarray(from, from + 3), part.get(name)!);
        expect(gap, name).toBeLessThan(1e-4);
      }
    }
  });

  test('every vector may be written over itself', () => {
    const size = 2 ** 18 + 3;
    const overlaps = chunksOf(size).flatMap((_, i) =>
      stateNames(base).map((n) => ({ output: chunkOutput(n, i), inputs: [chunkInput(n, i)] })),
    );
    expect(overlaps).toHaveLength(8);
    expect(() => assertInPlaceSafe(adamGraph(size, base), overlaps)).not.toThrow();
  });
});

describe('a gradient that is not finite changes no bit of any vector', () => {
  const bad: readonly (readonly [string, number])[] = [
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['minus infinity', Number.NEGATIVE_INFINITY],
    ['a square that overflows', 1e30],
  ];
  const cases = bad.flatMap(([what, value]) =>
    VARIANTS.map(([title, options]) => [what, title, value, options] as const),
  );

  test.each(cases)('%s, %s', (_what, _title, value, options) => {
    const size = 6;
    const { state, update } = inPlace(size, options, startOf(size, options));
    update(gradientOf(size, 1), 1, 0.01);
    const before = new Map([...state].map(([name, data]) => [name, data.slice()]));
    const norm = update(gradientOf(size, 2).with(4, value), 2, 0.01);
    expect(Number.isFinite(norm)).toBe(false);
    for (const [name, data] of state) {
      const bits = (a: Float32Array) => [...new Uint32Array(a.buffer, a.byteOffset, a.length)];
      expect(bits(data), name).toEqual(bits(before.get(name)!));
    }
    // And the next good gradient goes on from there.
    expect(Number.isFinite(update(gradientOf(size, 3), 2, 0.01))).toBe(true);
    expect(state.get('weights')!.every(Number.isFinite)).toBe(true);
    expect(state.get('weights')).not.toEqual(before.get('weights'));
  });
});
