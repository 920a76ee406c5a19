/** Networks that PyTorch exported for any batch, as velocities: values and gradients, on another batch. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret, type Plain } from '../../../src/trainer/graph/interpreter.ts';
import { mul, reduceSum } from '../../../src/trainer/graph/ops.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { loadModel } from '../../../src/trainer/run/model-file.ts';
import { type DType, sameShape, type Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { relativeGap, runOnce } from '../../support/gradcheck.ts';

const numbers = ({ data }: Tensor) => Float64Array.from<number | bigint>(data, Number);

/** Velocity and gradients of sum(v * cotangent), by the names of the golden file. */
async function differentiated(golden: GoldenCase, dtype: DType) {
  const io = await golden.tensors();
  const { info, parameters } = await loadModel(golden.file('onnx'));
  const graph = new Graph();
  const input = (name: string, type: DType) => graph.input(name, io.get(name)!.shape, type);
  const x = input('x', dtype);
  const labels = input('labels', 'int64');
  const scope = new ParameterScope(graph, 'net', dtype);
  const v = velocity(scope, info.network, x, input('t', dtype), { labels });
  const loss = reduceSum(mul(v, input('cotangent', dtype)));
  const feeds = new Map(
    ['x', 't', 'labels', 'cotangent'].map((name) => [name, numbers(io.get(name)!)]),
  );
  const weights = views(parameterList(info.network), parameters);
  for (const [name, tensor] of weights) feeds.set(`net/${name}`, numbers(tensor));
  // Exporters may fold or transpose weights: those that kept name and shape are compared.
  const names = [...weights].flatMap(([name, { shape }]) => {
    const expected = io.get(`grad.${name}`);
    return expected && sameShape(expected.shape, shape) ? [name] : [];
  });
  const at = [x, ...names.map((name) => graph.inputs.get(`net/${name}`)!)];
  for (const [i, found] of gradients(loss, at).entries()) {
    graph.output(`grad.${['x', ...names][i]}`, found);
  }
  graph.output('out', v);
  return { graph, feeds, io };
}

function expectReferences(
  results: ReadonlyMap<string, Plain>,
  io: ReadonlyMap<string, Tensor>,
  tolerance: number,
): void {
  const compared = [...results.keys()].filter((name) => io.has(name));
  expect(compared.length).toBeGreaterThan(20);
  for (const name of compared) {
    const expected = io.get(name)!;
    const { shape, data } = results.get(name)!;
    expect(shape, name).toEqual(expected.shape);
    expect(relativeGap(data, numbers(expected)), name).toBeLessThan(tolerance);
  }
}

describe.each(goldenCases('onnx-network').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    test('float64, interpreter', async () => {
      const { graph, feeds, io } = await differentiated(golden, 'float64');
      // The file holds its table of frequencies in float32, whose angles go up to 900.
      expectReferences(interpret(graph, feeds), io, 1e-4);
    });

    test('float32, ONNX Runtime', async () => {
      const { graph, feeds, io } = await differentiated(golden, 'float32');
      expectReferences(runOnce(graph, feeds), io, 1e-4);
    });
  },
);
