/** ONNX forms that differ from ours, on x = 1, 2, 3 ... Expected values agree with ONNX Runtime. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { mul, reduceSum, reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import type { Shape } from '../../../src/trainer/tensor.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import {
  type Attribute,
  float,
  handModel,
  int64,
  type OneNode,
  oneNode,
} from '../../support/onnx-models.ts';

interface FormCase extends OneNode {
  readonly shape: Shape;
  readonly values: readonly number[];
}

/** 1, 2, 3 ... */
const counted = (shape: Shape) => Array.from({ length: sizeOf(shape) }, (_, i) => i + 1);

const FORMS: readonly FormCase[] = [
  { operator: 'ReduceSum', x: [2, 2], shape: [1, 1], values: [10] },
  {
    operator: 'ReduceMean',
    x: [2, 2],
    attributes: { axes: [-1], keepdims: 0 },
    shape: [2],
    values: [1.5, 3.5],
  },
  {
    operator: 'ReduceMax',
    x: [2, 2],
    opset: 18,
    constants: { axes: int64([0]) },
    attributes: { keepdims: 0 },
    shape: [2],
    values: [3, 4],
  },
  {
    operator: 'ReduceSum',
    x: [2],
    constants: { axes: int64([]) },
    attributes: { noop_with_empty_axes: 1 },
    shape: [2],
    values: [1, 2],
  },
  {
    operator: 'ReduceSumSquare',
    x: [2],
    opset: 18,
    attributes: { noop_with_empty_axes: 1 },
    shape: [2],
    values: [1, 4],
  },
  { operator: 'ReduceSumSquare', x: [3], attributes: { keepdims: 0 }, shape: [], values: [14] },
  { operator: 'Squeeze', x: [1, 2, 1], shape: [2], values: [1, 2] },
  {
    operator: 'Squeeze',
    x: [1, 2, 1],
    constants: { axes: int64([-1]) },
    shape: [1, 2],
    values: [1, 2],
  },
  {
    operator: 'Unsqueeze',
    x: [2],
    constants: { axes: int64([2, 0]) },
    shape: [1, 2, 1],
    values: [1, 2],
  },
  { operator: 'Flatten', x: [1, 2, 2], shape: [1, 4], values: [1, 2, 3, 4] },
  { operator: 'Flatten', x: [2, 1], attributes: { axis: 2 }, shape: [2, 1], values: [1, 2] },
  {
    operator: 'Reshape',
    x: [2, 3],
    constants: { to: int64([0, -1, 1]) },
    shape: [2, 3, 1],
    values: counted([6]),
  },
  { operator: 'Identity', x: [2], shape: [2], values: [1, 2] },
  {
    operator: 'Dropout',
    x: [2],
    constants: { ratio: float([0.5], []) },
    shape: [2],
    values: [1, 2],
  },
  {
    operator: 'Slice',
    x: [4, 2],
    constants: {
      starts: int64([1, -1]),
      ends: { dtype: 'int64', shape: [2], data: BigInt64Array.of(3n, 2n ** 63n - 1n) },
    },
    shape: [2, 1],
    values: [4, 6],
  },
  {
    operator: 'Slice',
    x: [3],
    constants: { starts: int64([2]), ends: int64([-2]), axes: int64([0]), steps: int64([1]) },
    shape: [0],
    values: [],
  },
  { operator: 'Split', x: [4], outputs: ['', 'y'], shape: [2], values: [3, 4] },
  {
    operator: 'Split',
    x: [5],
    opset: 18,
    attributes: { num_outputs: 2, axis: -1 },
    outputs: ['y', 'z'],
    shape: [3],
    values: [1, 2, 3],
  },
  {
    operator: 'Pad',
    x: [1, 2],
    opset: 18,
    constants: { pads: int64([1, 2]), zero: float([0], []), axes: int64([-1]) },
    attributes: { mode: 'constant' },
    shape: [1, 5],
    values: [0, 1, 2, 0, 0],
  },
  {
    operator: 'Clip',
    x: [4],
    constants: { low: float([2], []), high: float([3], []) },
    shape: [4],
    values: [2, 2, 3, 3],
  },
  {
    operator: 'Clip',
    x: [3],
    input: ['x', '', 'high'],
    constants: { high: float([2], []) },
    shape: [3],
    values: [1, 2, 2],
  },
  { operator: 'Sum', x: [2], input: ['x', 'x', 'x'], shape: [2], values: [3, 6] },
  { operator: 'Max', x: [3], constants: { floor: float([2], []) }, shape: [3], values: [2, 2, 3] },
  { operator: 'Min', x: [2], input: ['x'], shape: [2], values: [1, 2] },
  { operator: 'Relu', x: [2], shape: [2], values: [1, 2] },
  { operator: 'Transpose', x: [2, 2], shape: [2, 2], values: [1, 3, 2, 4] },
  { operator: 'Pow', x: [3], constants: { two: int64([2], []) }, shape: [3], values: [1, 4, 9] },
  { operator: 'MatMul', x: [2], constants: { b: float([3, 4]) }, shape: [], values: [11] },
  {
    operator: 'MatMul',
    x: [2],
    constants: { b: float([1, 2, 3, 4], [2, 2]) },
    shape: [2],
    values: [7, 10],
  },
  { operator: 'MatMul', x: [2, 2], constants: { b: float([1, 1]) }, shape: [2], values: [3, 7] },
  { operator: 'Softmax', x: [1, 2], attributes: { axis: 0 }, shape: [1, 2], values: [1, 1] },
  {
    operator: 'Gemm',
    x: [1, 2],
    input: ['x', 'b', ''],
    constants: { b: float([1, 1], [2, 1]) },
    attributes: { alpha: { float: 2 } },
    shape: [1, 1],
    values: [6],
  },
  {
    operator: 'LayerNormalization',
    x: [2],
    constants: { scale: float([1, 1]) },
    attributes: { stash_type: 1, epsilon: { float: 0 } },
    shape: [2],
    values: [-1, 1],
  },
  {
    operator: 'Cast',
    x: [2],
    attributes: { to: 7, saturate: 1 },
    opset: 19,
    shape: [2],
    values: [1, 2],
  },
];

describe('forms of other exporters', () => {
  test.each(
    FORMS.map(
      (form) => [`${form.operator} ${JSON.stringify(form.attributes ?? {})}`, form] as const,
    ),
  )('%s', (_title, form) => {
    const { graph } = decodeOnnx(oneNode(form));
    const y = interpret(graph, new Map([['x', counted(form.x)]])).get('y')!;
    expect(y.shape).toEqual(form.shape);
    expect([...y.data]).toEqual(form.values);
  });

  test.each<[string, Readonly<Record<string, Attribute>>, Shape, readonly number[]]>([
    ['a tensor', { value: float([1, 2], [1, 2]) }, [1, 2], [1, 2]],
    ['a number', { value_float: { float: 0.5 } }, [], [0.5]],
    ['whole numbers', { value_ints: [3, -4] }, [2], [3, -4]],
    ['a whole number', { value_int: 7 }, [], [7]],
  ])('Constant that holds %s', (_title, attributes, shape, values) => {
    const nodes = [{ opType: 'Constant', input: [], output: ['y'], attributes }];
    const y = interpret(decodeOnnx(handModel({ nodes })).graph, new Map()).get('y')!;
    expect(y.shape).toEqual(shape);
    expect([...y.data]).toEqual(values);
  });

  test("ONNX Runtime's own Gelu, and numbers that are not stored as bytes", () => {
    const model = handModel({
      initializers: {
        x: { dims: [2], dataType: 1, floatData: [0, 1] },
        n: { dims: [1], dataType: 7, int64Data: [2] },
      },
      nodes: [
        { opType: 'Gelu', domain: 'com.microsoft', input: ['x'], output: ['g'] },
        { opType: 'Reshape', input: ['g', 'n'], output: ['y'] },
      ],
    });
    const y = interpret(decodeOnnx(model).graph, new Map()).get('y')!;
    expect(y.data[0]).toBe(0);
    expect(y.data[1]).toBeCloseTo(0.8413447460685429, 12);
  });

  test('weights as inputs can be trained, and those that are equal stay apart', () => {
    const model = handModel({
      inputs: { x: [2] },
      initializers: { a: float([3, 3]), b: float([3, 3]), unused: int64([1]) },
      nodes: [
        { opType: 'Mul', input: ['x', 'a'], output: ['xa'] },
        { opType: 'Add', input: ['xa', 'b'], output: ['y'] },
      ],
    });
    const { graph, weights } = decodeOnnx(model, { weights: 'inputs' });
    expect([...weights.keys()]).toEqual(['a', 'b']);
    const loss = reduceSum(mul(graph.outputs.get('y')!, 2));
    const [da, db] = gradients(loss, [graph.inputs.get('a')!, graph.inputs.get('b')!]);
    graph.output('da', da!);
    graph.output('db', db!);
    const results = interpret(
      graph,
      new Map<string, ArrayLike<number>>([
        ['x', [5, 7]],
        ...[...weights].map(([n, t]) => [n, Array.from(t.data, Number)] as const),
      ]),
    );
    expect([...results.get('da')!.data]).toEqual([10, 14]);
    expect([...results.get('db')!.data]).toEqual([2, 2]);
  });

  test('weights that are also listed as inputs, as old files do, need not be fed', () => {
    const model = handModel({
      inputs: { x: [2], a: [2] },
      initializers: { a: float([3, 4]) },
      nodes: [{ opType: 'Mul', input: ['x', 'a'], output: ['y'] }],
    });
    for (const weights of ['constants', 'inputs'] as const) {
      const { graph } = decodeOnnx(model, { weights });
      const feeds = new Map([
        ['x', [1, 2]],
        ['a', [3, 4]],
      ]);
      expect([...interpret(graph, feeds).get('y')!.data]).toEqual([3, 8]);
      expect(graph.inputs.has('a')).toBe(weights === 'inputs');
    }
  });

  test('what was read can be differentiated twice', () => {
    const { graph } = decodeOnnx(oneNode({ operator: 'Tanh', x: [2] }));
    const x = graph.inputs.get('x')!;
    const [first] = gradients(reduceSumSquare(graph.outputs.get('y')!), [x]);
    const [second] = gradients(reduceSum(first!), [x]);
    graph.output('second', second!);
    const found = interpret(graph, new Map([['x', [0, 1]]])).get('second')!.data;
    const h = Math.tanh(1);
    expect(found[0]).toBeCloseTo(2, 12);
    expect(found[1]).toBeCloseTo(2 * (1 - h * h) * (1 - 3 * h * h), 12);
  });
});
