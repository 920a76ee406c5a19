/** @file Checks of gradients: against central differences in float64, and on ONNX Runtime against the interpreter. */
import { gradients } from '../../src/trainer/autodiff/gradients.ts';
import { filled, Graph, type Value } from '../../src/trainer/graph/graph.ts';
import { interpret, type Plain } from '../../src/trainer/graph/interpreter.ts';
import { add, cast, mul, reduceSum } from '../../src/trainer/graph/ops.ts';
import { tableOf } from '../../src/trainer/nn/constants.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { type DType, sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { type InputSpec, randomNumbers } from './operator-cases.ts';

export type RealType = 'float32' | 'float64';

/** What is tried: inputs, and values made of them. */
export interface Subject {
  readonly inputs: readonly InputSpec[];
  apply(inputs: readonly Value[]): readonly Value[];
}

export interface Differentiated {
  readonly graph: Graph;
  /** Names of the inputs that are differentiated. */
  readonly reals: readonly string[];
}

const WEIGHTS_SEED = 7;

/** The sum of all elements of all values, each times a random number. */
function weightedSum(values: readonly Value[], dtype: RealType, random: () => number): Value {
  return values
    .map((value) => {
      const weights = Array.from({ length: sizeOf(value.shape) }, () => 2 * random() - 0.7);
      const table = tableOf(value.graph, dtype, value.shape, weights);
      return reduceSum(mul(cast(value, dtype), table));
    })
    .reduce((a, b) => add(a, b));
}

/**
 * The graph of a subject with outputs `y.I`, the scalar `loss.1` and its gradients `g1.NAME`; with
 * `order` 2 also `loss.2`, a sum of those gradients, and its gradients `g2.NAME`.
 */
export function differentiated(
  subject: Subject,
  dtype: RealType,
  order: 1 | 2 = 1,
): Differentiated {
  const graph = new Graph();
  const random = randomNumbers(WEIGHTS_SEED);
  const reals: string[] = [];
  const inputs = subject.inputs.map(({ shape, holds, constant, values }, i) => {
    const type = holds === 'reals' ? dtype : holds;
    if (constant) return graph.constant(tensorOf(type, shape, values));
    if (holds === 'reals') reals.push(`x${i}`);
    return graph.input(`x${i}`, shape, type);
  });
  let values = subject.apply(inputs);
  for (const [i, value] of values.entries()) graph.output(`y.${i}`, value);
  for (let n = 1; n <= order; n++) {
    const loss = weightedSum(values, dtype, random);
    graph.output(`loss.${n}`, loss);
    values = gradients(
      loss,
      reals.map((name) => graph.inputs.get(name)!),
    );
    for (const [i, name] of reals.entries()) graph.output(`g${n}.${name}`, values[i]!);
    if (reals.length === 0) break;
  }
  return { graph, reals };
}

export function feedsOf(subject: Subject): Map<string, readonly number[]> {
  return new Map(
    subject.inputs.flatMap(({ constant, values }, i) =>
      constant ? [] : [[`x${i}`, values] as const],
    ),
  );
}

/** How far a directional derivative by gradients is off the one by central differences. */
export interface Slopes {
  readonly byGradient: number;
  readonly byDifference: number;
}

const EPSILON = 1e-4;

/** Both derivatives of `loss.ORDER` along one random direction of all real inputs. */
export function slopes(subject: Subject, order: 1 | 2, seed: number): Slopes {
  const { graph, reals } = differentiated(subject, 'float64', order);
  const feeds = feedsOf(subject);
  const random = randomNumbers(seed);
  const direction = new Map(
    reals.map((name) => [name, feeds.get(name)!.map(() => 2 * random() - 1)]),
  );
  const lossAt = (step: number) => {
    const moved = new Map<string, readonly number[]>(feeds);
    for (const [name, way] of direction) {
      moved.set(
        name,
        feeds.get(name)!.map((x, i) => x + step * way[i]!),
      );
    }
    return interpret(graph, moved).get(`loss.${order}`)!.data[0]!;
  };
  const at = interpret(graph, feeds);
  let byGradient = 0;
  for (const [name, way] of direction) {
    const gradient = at.get(`g${order}.${name}`)!.data;
    byGradient += gradient.reduce((sum, g, i) => sum + g * way[i]!, 0);
  }
  return { byGradient, byDifference: (lossAt(EPSILON) - lossAt(-EPSILON)) / (2 * EPSILON) };
}

export function tensorOf(
  dtype: DType,
  shape: readonly number[],
  values: ArrayLike<number>,
): Tensor {
  const data = filled(dtype, sizeOf(shape), 0);
  for (let i = 0; i < data.length; i++)
    data[i] = dtype === 'int64' ? BigInt(values[i]!) : values[i]!;
  return { dtype, shape, data };
}

/** All outputs of a graph by ONNX Runtime. */
export function runOnce(
  graph: Graph,
  feeds: ReadonlyMap<string, ArrayLike<number>>,
): Map<string, Plain> {
  const program = new Program(graph, { name: 'test' });
  try {
    for (const [name, { dtype, shape }] of graph.inputs) {
      program.bindInput(name, tensorOf(dtype, shape, feeds.get(name)!));
    }
    const results = new Map<string, Tensor>();
    for (const [name, { dtype, shape }] of graph.outputs) {
      const tensor = tensorOf(dtype, shape, new Float64Array(sizeOf(shape)));
      results.set(name, tensor);
      program.bindOutput(name, tensor);
    }
    program.runSync();
    return new Map(
      [...results].map(([name, { shape, data }]) => [
        name,
        { shape, data: Float64Array.from<number | bigint>(data, Number) },
      ]),
    );
  } finally {
    program.dispose();
  }
}

/** Largest difference of two arrays, relative to the largest element of `expected`. */
export function relativeGap(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let gap = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(got[i]! - expected[i]!);
    if (!(difference <= gap)) gap = difference;
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return scale === 0 ? gap : gap / scale;
}
