/** The DiT network against PyTorch: output, gradient of the input, gradients of all parameters. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { mul, reduceSum } from '../../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import type { Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { type RealType, relativeGap, runOnce } from '../../support/gradcheck.ts';

const SidecarSchema = z.object({ config: NetworkConfigSchema });

const numbers = ({ data }: Tensor) => Float64Array.from<number | bigint>(data, Number);

async function build(golden: GoldenCase, dtype: RealType) {
  const { config } = SidecarSchema.parse(golden.sidecar);
  const io = await golden.tensors();
  const weights = await golden.tensors('weights');
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'network', dtype);
  const input = (name: string) => graph.input(name, io.get(name)!.shape, dtype);
  const x = input('x');
  const out = velocity(scope, config, x, input('t'));
  const loss = reduceSum(mul(out, input('cotangent')));
  const { specs } = scope.list();
  expect(Object.fromEntries(specs.map(({ name, shape }) => [name, shape]))).toEqual(
    Object.fromEntries([...weights].map(([name, { shape }]) => [name, shape])),
  );
  graph.output('out', out);
  const names = ['x', ...specs.map(({ name }) => name)];
  for (const [i, g] of gradients(loss, [x, ...scope.values()]).entries()) {
    graph.output(`grad.${names[i]}`, g);
  }
  const feeds = new Map([
    ...['x', 't', 'cotangent'].map((name) => [name, numbers(io.get(name)!)] as const),
    ...[...weights].map(([name, tensor]) => [`network/${name}`, numbers(tensor)] as const),
  ]);
  return { graph, feeds, io };
}

/** Relative to the largest element of a tensor, as the sidecar's `float32_noise` is. */
const FLOAT32_TOLERANCES = { out: 2e-5, x: 5e-5, parameters: 2e-4 };

const toleranceOf = (name: string) =>
  name === 'out'
    ? FLOAT32_TOLERANCES.out
    : name === 'grad.x'
      ? FLOAT32_TOLERANCES.x
      : FLOAT32_TOLERANCES.parameters;

describe.each(goldenCases('dit').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    test('float64, interpreter', async () => {
      const { graph, feeds, io } = await build(golden, 'float64');
      const results = interpret(graph, feeds);
      for (const [name, { data }] of results) {
        // References are rounded to float32.
        expect(relativeGap(data, numbers(io.get(name)!)), name).toBeLessThan(3e-7);
      }
    });

    test('float32, ONNX Runtime', async () => {
      const { graph, feeds, io } = await build(golden, 'float32');
      for (const [name, { data }] of runOnce(graph, feeds)) {
        expect(relativeGap(data, numbers(io.get(name)!)), name).toBeLessThan(toleranceOf(name));
      }
    });
  },
);
