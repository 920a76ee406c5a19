/** ONNX's operators for pictures, as we read them, against ONNX Runtime on the same file. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import { type Shape, sizeOf } from '../../../src/trainer/tensor.ts';
import { relativeGap } from '../../support/gradcheck.ts';
import { float, int64, type OneNode, oneNode } from '../../support/onnx-models.ts';
import { randomNumbers } from '../../support/operator-cases.ts';

const random = randomNumbers(31);
const drawn = (shape: Shape) => Array.from({ length: sizeOf(shape) }, () => 2 * random() - 0.8);
const reals = (...shape: number[]) => float(drawn(shape), shape);

const CASES: readonly OneNode[] = [
  { operator: 'Conv', x: [2, 2, 4, 5], constants: { w: reals(3, 2, 3, 3) } },
  {
    operator: 'Conv',
    x: [1, 4, 5, 6],
    constants: { w: reals(2, 2, 3, 2), b: reals(2) },
    attributes: { group: 2, strides: [2, 1], auto_pad: 'SAME_UPPER', kernel_shape: [3, 2] },
  },
  {
    operator: 'Conv',
    x: [1, 1, 6, 6],
    constants: { w: reals(1, 1, 2, 3) },
    attributes: { strides: [3, 2], auto_pad: 'SAME_LOWER' },
  },
  {
    operator: 'Conv',
    x: [2, 2, 7],
    constants: { w: reals(2, 2, 3) },
    attributes: { auto_pad: 'VALID', dilations: [2] },
  },
  {
    operator: 'ConvTranspose',
    x: [1, 2, 3, 3],
    constants: { w: reals(2, 2, 3, 3), b: reals(2) },
    attributes: { strides: [2, 2], pads: [1, 0, 1, 1], output_padding: [1, 0] },
  },
  {
    operator: 'AveragePool',
    x: [1, 2, 4, 6],
    attributes: { kernel_shape: [2, 3], strides: [2, 3] },
  },
  {
    operator: 'AveragePool',
    x: [2, 2, 4, 4],
    attributes: { kernel_shape: [3, 3], strides: [2, 1], pads: [1, 1, 1, 0] },
  },
  {
    operator: 'AveragePool',
    x: [1, 1, 5, 4],
    attributes: { kernel_shape: [2, 2], pads: [1, 0, 0, 1], count_include_pad: 1 },
  },
  { operator: 'GlobalAveragePool', x: [2, 3, 2, 3] },
  {
    operator: 'GroupNormalization',
    x: [2, 6, 3, 2],
    constants: { s: reals(6), b: reals(6) },
    attributes: { num_groups: 3, epsilon: { float: 1e-3 } },
    opset: 21,
  },
  { operator: 'InstanceNormalization', x: [2, 3, 5], constants: { s: reals(3), b: reals(3) } },
  {
    operator: 'BatchNormalization',
    x: [2, 3, 2, 2],
    constants: { s: reals(3), b: reals(3), m: reals(3), v: float([0.4, 1.3, 2]) },
  },
  { operator: 'RMSNormalization', x: [3, 5], constants: { s: reals(5) }, opset: 23 },
  {
    operator: 'Resize',
    x: [1, 2, 2, 3],
    input: ['x', '', 'scales'],
    constants: { scales: float([1, 1, 2, 3]) },
    attributes: { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  },
  {
    operator: 'Resize',
    x: [2, 1, 2, 2],
    input: ['x', '', '', 'sizes'],
    constants: { sizes: int64([2, 1, 8, 2]) },
  },
  ...['reflect', 'edge', 'wrap'].map((mode) => ({
    operator: 'Pad',
    x: [2, 3, 4],
    constants: { pads: int64([0, 2, 1, 1, 0, 3]) },
    attributes: { mode },
    opset: 19,
  })),
];

const title = ({ operator, x, attributes = {} }: OneNode) =>
  `${operator} of [${x}] ${JSON.stringify(attributes)}`;

describe.each(CASES.map((row) => [title(row), row] as const))('%s', (_title, row) => {
  const bytes = oneNode(row);
  const numbers = drawn(row.x);

  test('means what ONNX Runtime computes', async () => {
    const session = await InferenceSession.create(bytes, {
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const fed = new Tensor('float32', Float32Array.from(numbers), row.x);
    const expected = (await session.run({ x: fed }))['y']!;
    const y = interpret(decodeOnnx(bytes).graph, new Map([['x', numbers]])).get('y')!;
    expect(y.shape).toEqual([...expected.dims]);
    expect(relativeGap(y.data, expected.data as Float32Array)).toBeLessThan(1e-6);
  });

  test('has a gradient', () => {
    const { graph } = decodeOnnx(bytes);
    const x = graph.inputs.get('x')!;
    const loss = reduceSumSquare(graph.outputs.get('y')!);
    graph.output('loss', loss);
    graph.output('dx', gradients(loss, [x])[0]!);
    const at = (step: number) =>
      interpret(graph, new Map([['x', numbers.map((v, i) => v + step * Math.cos(i))]]));
    const slope = at(0)
      .get('dx')!
      .data.reduce((sum, g, i) => sum + g * Math.cos(i), 0);
    const difference = at(1e-4).get('loss')!.data[0]! - at(-1e-4).get('loss')!.data[0]!;
    expect(Math.abs(difference / 2e-4 - slope) / Math.max(1, Math.abs(slope))).toBeLessThan(1e-6);
  });
});
