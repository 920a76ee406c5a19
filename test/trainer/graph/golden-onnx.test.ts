/** Models that PyTorch exported, read and differentiated. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { interpret, type Plain } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { mul, reduceSum } from '../../../src/trainer/graph/ops.ts';
import { sameShape, type Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { relativeGap, runOnce } from '../../support/gradcheck.ts';

const numbers = ({ data }: Tensor) => Float64Array.from<number | bigint>(data, Number);

/** Output and gradients of sum(out * cotangent), by the names of the golden file. */
async function differentiated(golden: GoldenCase) {
  const io = await golden.tensors();
  const { graph, weights } = decodeOnnx(readFileSync(golden.file('onnx')), { weights: 'inputs' });
  const [y] = graph.outputs.values();
  const cotangent = graph.input('cotangent', y!.shape);
  const loss = reduceSum(mul(y!, cotangent));
  // Exporters may fold or transpose weights: those that kept name and shape are compared.
  const names = [...weights].flatMap(([name, { shape }]) => {
    const expected = io.get(`grad.${name}`);
    return expected && sameShape(expected.shape, shape) ? [name] : [];
  });
  const found = gradients(
    loss,
    ['x', ...names].map((name) => graph.inputs.get(name)!),
  );
  for (const [i, name] of ['x', ...names].entries()) graph.output(`grad.${name}`, found[i]!);
  graph.output('out', y!);
  const feeds = new Map(
    [...weights, ...['x', 'cotangent'].map((name) => [name, io.get(name)!] as const)].map(
      ([name, tensor]) => [name, numbers(tensor)] as const,
    ),
  );
  return { graph, feeds, io };
}

function expectReferences(
  results: ReadonlyMap<string, Plain>,
  io: ReadonlyMap<string, Tensor>,
  tolerance: number,
): void {
  const compared = [...results.keys()].filter((name) => io.has(name));
  expect(compared.length).toBeGreaterThan(4);
  for (const name of compared) {
    const expected = io.get(name)!;
    const { shape, data } = results.get(name)!;
    expect(shape, name).toEqual(expected.shape);
    expect(relativeGap(data, numbers(expected)), name).toBeLessThan(tolerance);
  }
}

describe.each(goldenCases('onnx').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    test('float64, interpreter', async () => {
      const { graph, feeds, io } = await differentiated(golden);
      // The file holds constants in float32.
      expectReferences(interpret(graph, feeds), io, 5e-7);
    });

    test('float32, ONNX Runtime', async () => {
      const { graph, feeds, io } = await differentiated(golden);
      expectReferences(runOnce(graph, feeds), io, 2e-5);
    });
  },
);
