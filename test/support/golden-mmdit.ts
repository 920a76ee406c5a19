/** @file The tests of golden cases of Stable Diffusion 3's network: output, gradients of inputs and of all parameters. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../src/trainer/autodiff/gradients.ts';
import { guidedVelocity } from '../../src/trainer/flow/guidance.ts';
import { interpret, type Plain } from '../../src/trainer/graph/interpreter.ts';
import { mul, reduceSum } from '../../src/trainer/graph/ops.ts';
import { velocity } from '../../src/trainer/nn/network.ts';
import { ParameterScope } from '../../src/trainer/nn/parameters.ts';
import type { Tensor } from '../../src/trainer/tensor.ts';
import type { GoldenCase } from './golden.ts';
import { feedsOf, networkGraph, networkOf, numbers, PREFIX } from './golden-sd3.ts';
import { type RealType, relativeGap, runOnce } from './gradcheck.ts';

async function build(golden: GoldenCase, dtype: RealType) {
  const io = await golden.tensors();
  const weights = await golden.tensors('weights');
  let scope: ParameterScope | undefined;
  const { graph, inputs, out } = networkGraph(networkOf(golden.sidecar), io, dtype, (g) => {
    scope = new ParameterScope(g, 'network', dtype);
    return scope;
  });
  const { specs } = scope!.list();
  expect(Object.fromEntries(specs.map(({ name, shape }) => [PREFIX + name, shape]))).toEqual(
    Object.fromEntries([...weights].map(([name, { shape }]) => [name, shape])),
  );
  const loss = reduceSum(mul(out, graph.input('cotangent', out.shape, dtype)));
  graph.output('out', out);
  const names = [...Object.keys(inputs), ...specs.map(({ name }) => PREFIX + name)];
  const found = gradients(loss, [...Object.values(inputs), ...scope!.values()]);
  for (const [i, name] of names.entries()) graph.output(`grad.${name}`, found[i]!);
  const feeds = feedsOf(io);
  feedWeights(feeds, weights);
  return { graph, feeds, io };
}

function feedWeights(feeds: Map<string, Float64Array>, weights: ReadonlyMap<string, Tensor>): void {
  for (const [name, tensor] of weights) {
    feeds.set(`network/${name.slice(PREFIX.length)}`, numbers(tensor));
  }
}

/** A matrix [rows, columns] times the two rows of `proj`: [rows, 2]. */
export function timesProjection(
  data: ArrayLike<number>,
  rows: number,
  proj: ArrayLike<number>,
): number[] {
  const columns = data.length / rows;
  return Array.from({ length: rows * 2 }, (_, i) => {
    const [row, k] = [i >> 1, i & 1];
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += data[row * columns + c]! * proj[k * columns + c]!;
    return sum;
  });
}

/** The two rows of `proj` times a matrix [rows, columns]: [2, columns]. */
function projectionTimes(data: ArrayLike<number>, rows: number, proj: ArrayLike<number>): number[] {
  const columns = data.length / rows;
  return Array.from({ length: 2 * columns }, (_, i) => {
    const [k, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let r = 0; r < rows; r++) sum += proj[k * rows + r]! * data[r * columns + column]!;
    return sum;
  });
}

/** How far a gradient is off what the file keeps of it: all, or its rows, columns and head (the golden README). */
function gradientGap(key: string, got: Plain, io: ReadonlyMap<string, Tensor>): number {
  const whole = io.get(`grad.${key}`);
  if (whole) return relativeGap(got.data, numbers(whole));
  const rows = got.shape[0]!;
  const columns = got.data.length / rows;
  const stored = (name: string) => numbers(io.get(name)!);
  const right = timesProjection(got.data, rows, stored(`proj.${columns}`));
  const left = projectionTimes(got.data, rows, stored(`proj.${rows}`));
  return Math.max(
    relativeGap(right, stored(`grad_right.${key}`)),
    relativeGap(left, stored(`grad_left.${key}`)),
    relativeGap(Array.from(got.data).slice(0, 2 * columns), stored(`grad_head.${key}`)),
  );
}

interface Tolerances {
  readonly out: number;
  readonly inputs: number;
  readonly parameters: number;
}

const FLOAT32: Tolerances = { out: 2e-5, inputs: 5e-5, parameters: 2e-4 };
/** References are rounded to float32; sums of products of them with rounded projections are off a little more. */
const FLOAT64: Tolerances = { out: 3e-7, inputs: 3e-7, parameters: 3e-7 };

function expectReferences(
  results: ReadonlyMap<string, Plain>,
  io: ReadonlyMap<string, Tensor>,
  tolerances: Tolerances,
): void {
  expect(relativeGap(results.get('out')!.data, numbers(io.get('out')!))).toBeLessThan(
    tolerances.out,
  );
  for (const [name, got] of results) {
    if (!name.startsWith('grad.')) continue;
    const key = name.slice('grad.'.length);
    // The position table is a buffer of the reference, which has no gradient.
    if (key === `${PREFIX}pos_embed`) continue;
    const isInput = !key.startsWith(PREFIX);
    const gap = isInput
      ? relativeGap(got.data, numbers(io.get(`grad_${key}`)!))
      : gradientGap(key, got, io);
    expect(gap, key).toBeLessThan(isInput ? tolerances.inputs : tolerances.parameters);
  }
}

/** Defines the tests of the cases that are networks. */
export function testNetworks(cases: readonly GoldenCase[]): void {
  describe.each(cases.map((golden) => [golden.name, golden] as const))('%s', (_name, golden) => {
    test('float64, interpreter', async () => {
      const { graph, feeds, io } = await build(golden, 'float64');
      expectReferences(interpret(graph, feeds), io, FLOAT64);
    });

    test('float32, ONNX Runtime', async () => {
      const { graph, feeds, io } = await build(golden, 'float32');
      expectReferences(runOnce(graph, feeds), io, FLOAT32);
    });

    test('guidance between two texts of different length', async () => {
      const io = await golden.tensors();
      const config = networkOf(golden.sidecar);
      let scope: ParameterScope | undefined;
      const { graph, inputs, out } = networkGraph(config, io, 'float32', (g) => {
        scope = new ParameterScope(g, 'network');
        return scope;
      });
      const input = (name: string) => graph.input(name, io.get(name)!.shape);
      const base = velocity(scope!, config, inputs.x, graph.inputs.get('t')!, {
        context: input('uncond.context'),
        pooled: input('uncond.y'),
      });
      graph.output('cfg.uncond', base);
      graph.output(
        'cfg.velocity',
        guidedVelocity(out, base, graph.inputs.get('t')!, { scale: 1.5 }),
      );
      const feeds = feedsOf(io);
      for (const name of ['uncond.context', 'uncond.y']) feeds.set(name, numbers(io.get(name)!));
      feedWeights(feeds, await golden.tensors('weights'));
      for (const [name, { data }] of runOnce(graph, feeds)) {
        expect(relativeGap(data, numbers(io.get(name)!)), name).toBeLessThan(FLOAT32.out);
      }
    });
  });
}
