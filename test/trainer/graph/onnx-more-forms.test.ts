/** Operators that are decoded into others: activations, attention, and sizes that a graph computes. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { float, type HandNode, handModel, int64, oneNode } from '../../support/onnx-models.ts';

const X = [-2, -0.5, 0.25, 3];

function valuesOf(bytes: Uint8Array, feeds: Readonly<Record<string, readonly number[]>>) {
  return interpret(decodeOnnx(bytes).graph, new Map(Object.entries(feeds))).get('y')!;
}

const softplus = (x: number) => Math.log1p(Math.exp(x));

type Activation = readonly [string, Record<string, { float: number }>, (x: number) => number];

const ACTIVATIONS: readonly Activation[] = [
  ['LeakyRelu', { alpha: { float: 0.125 } }, (x) => (x > 0 ? x : 0.125 * x)],
  ['LeakyRelu', {}, (x) => (x > 0 ? x : 0.01 * x)],
  ['Elu', { alpha: { float: 0.5 } }, (x) => (x > 0 ? x : 0.5 * Math.expm1(x))],
  ['Softplus', {}, softplus],
  ['Mish', {}, (x) => x * Math.tanh(softplus(x))],
  ['Swish', { alpha: { float: 2 } }, (x) => x / (1 + Math.exp(-2 * x))],
  ['HardSigmoid', {}, (x) => Math.min(Math.max(0.2 * x + 0.5, 0), 1)],
  ['HardSwish', {}, (x) => x * Math.min(Math.max(x / 6 + 0.5, 0), 1)],
  ['Softsign', {}, (x) => x / (1 + Math.abs(x))],
];

test.each(ACTIVATIONS)('%s with %j', (operator, attributes, wanted) => {
  const { data } = valuesOf(oneNode({ operator, x: [4], attributes }), { x: X });
  for (const [i, x] of X.entries()) expect(data[i]).toBeCloseTo(wanted(x), 7);
});

describe('norms and sums', () => {
  test('PRelu has a slope for every element', () => {
    const constants = { slope: float([0.5, 0.25, 9, 9]) };
    const { data } = valuesOf(oneNode({ operator: 'PRelu', x: [4], constants }), { x: X });
    expect([...data]).toEqual([-1, -0.125, 0.25, 3]);
  });

  test('LogSoftmax', () => {
    const { data } = valuesOf(oneNode({ operator: 'LogSoftmax', x: [4] }), { x: X });
    const total = X.reduce((sum, x) => sum + Math.exp(x), 0);
    for (const [i, x] of X.entries()) expect(data[i]).toBeCloseTo(x - Math.log(total), 10);
  });

  test('ReduceL2 and ReduceMin over an axis', () => {
    const node = { x: [2, 2], attributes: { axes: [1], keepdims: 0 } } as const;
    const norms = valuesOf(oneNode({ operator: 'ReduceL2', ...node }), { x: X });
    expect(norms.shape).toEqual([2]);
    expect(norms.data[0]).toBeCloseTo(Math.hypot(2, 0.5), 10);
    const least = valuesOf(oneNode({ operator: 'ReduceMin', ...node }), { x: X });
    expect([...least.data]).toEqual([-2, 0.25]);
  });

  test('Mean of several tensors', () => {
    const constants = { b: float([1, 1, 1, 1]), c: float([3, 3, 3, 3]) };
    const { data } = valuesOf(oneNode({ operator: 'Mean', x: [4], constants }), { x: X });
    for (const [i, x] of X.entries()) expect(data[i]).toBeCloseTo((x + 4) / 3, 6);
  });
});

describe('moving data', () => {
  const six = [0, 1, 2, 3, 4, 5];
  const slice = (starts: number[], ends: number[], axes: number[], steps: number[]) =>
    valuesOf(
      oneNode({
        operator: 'Slice',
        x: [2, 3],
        constants: { s: int64(starts), e: int64(ends), a: int64(axes), k: int64(steps) },
      }),
      { x: six },
    );

  test('a slice by steps, forwards and backwards', () => {
    expect([...slice([0], [9], [1], [2]).data]).toEqual([0, 2, 3, 5]);
    expect([...slice([-1], [-9], [1], [-1]).data]).toEqual([2, 1, 0, 5, 4, 3]);
    expect([...slice([0, 1], [2, 3], [0, 1], [1, 2]).data]).toEqual([1, 4]);
  });

  test('Tile repeats along each axis', () => {
    const constants = { r: int64([2, 1]) };
    const { shape, data } = valuesOf(oneNode({ operator: 'Tile', x: [1, 3], constants }), {
      x: [7, 8, 9],
    });
    expect(shape).toEqual([2, 3]);
    expect([...data]).toEqual([7, 8, 9, 7, 8, 9]);
  });

  /** Numbers as numpy makes them from the definitions of the operators. */
  test.each([
    ['DepthToSpace', 'DCR', [1, 4, 1, 2], [0, 2, 1, 3, 4, 6, 5, 7]],
    ['DepthToSpace', 'CRD', [1, 4, 1, 2], [0, 2, 1, 3, 4, 6, 5, 7]],
    ['DepthToSpace', 'DCR', [1, 8, 1, 1], [0, 2, 4, 6, 1, 3, 5, 7]],
    ['DepthToSpace', 'CRD', [1, 8, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7]],
  ] as const)('%s by %s of %j', (operator, mode, x, wanted) => {
    const attributes = { blocksize: 2, mode };
    const { data } = valuesOf(oneNode({ operator, x: [...x], attributes }), {
      x: [0, 1, 2, 3, 4, 5, 6, 7],
    });
    expect([...data]).toEqual(wanted);
  });

  test('SpaceToDepth puts squares into channels, the block before the channel', () => {
    const { shape, data } = valuesOf(
      oneNode({ operator: 'SpaceToDepth', x: [1, 2, 2, 2], attributes: { blocksize: 2 } }),
      { x: [0, 1, 2, 3, 4, 5, 6, 7] },
    );
    expect(shape).toEqual([1, 8, 1, 1]);
    expect([...data]).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
  });
});

describe('attention of operator set 23', () => {
  const q = [1, 0, 0, 1];
  const k = [1, 1, 0, 1];
  const v = [1, 2, 3, 4];
  const scale = Math.SQRT1_2;

  /** Two places of width 2, one head. */
  function byHand(mask: readonly number[]): number[] {
    return [0, 1].flatMap((i) => {
      const scores = [0, 1].map(
        (j) => scale * (q[2 * i]! * k[2 * j]! + q[2 * i + 1]! * k[2 * j + 1]!) + mask[2 * i + j]!,
      );
      const weights = scores.map(Math.exp);
      const total = weights[0]! + weights[1]!;
      return [0, 1].map((c) => (weights[0]! * v[c]! + weights[1]! * v[2 + c]!) / total);
    });
  }

  test.each([
    ['heads apart', [1, 1, 2, 2], {}],
    ['heads in one axis', [1, 2, 2], { q_num_heads: 1, kv_num_heads: 1 }],
  ] as const)('%s, with a mask', (_title, shape, attributes) => {
    const mask = [0, 0.5, -1, 0.25];
    const bytes = handModel({
      inputs: { q: [...shape], k: [...shape], v: [...shape] },
      initializers: { m: float(mask, [2, 2]) },
      nodes: [{ opType: 'Attention', input: ['q', 'k', 'v', 'm'], output: ['y'], attributes }],
      opset: 23,
    });
    const found = valuesOf(bytes, { q, k, v });
    expect(found.shape).toEqual(shape);
    for (const [i, wanted] of byHand(mask).entries()) expect(found.data[i]).toBeCloseTo(wanted, 9);
  });
});

describe('sizes that are computed', () => {
  const node = (opType: string, input: string[], output: string, attributes = {}): HandNode => ({
    opType,
    input,
    output: [output],
    attributes,
  });

  /** The target of a Reshape of x [2, 3, 4] is what the nodes make as `to`. */
  const reshaped = (
    nodes: readonly HandNode[],
    constants: Record<string, ReturnType<typeof int64>>,
  ) =>
    decodeOnnx(
      handModel({
        inputs: { x: [2, 3, 4] },
        initializers: constants,
        nodes: [...nodes, node('Reshape', ['x', 'to'], 'y')],
      }),
    ).graph.outputs.get('y')!.shape;

  test('by a part of the shape', () => {
    const nodes = [
      node('Shape', ['x'], 'a', { start: 1 }),
      node('Concat', ['m', 'a'], 'to', { axis: 0 }),
    ];
    expect(reshaped(nodes, { m: int64([-1]) })).toEqual([2, 3, 4]);
  });

  test('by division, rounding down, and a choice', () => {
    const nodes = [
      node('Shape', ['x'], 's'),
      node('Gather', ['s', 'two'], 'w'),
      node('Div', ['w', 'three'], 'a'), // 4 / 3 is 1
      node('Equal', ['a', 'one'], 'is'),
      node('Where', ['is', 'a', 'minus'], 'first'),
      node('Unsqueeze', ['first', 'zero'], 'f'),
      node('Concat', ['f', 'rest'], 'to', { axis: 0 }),
    ];
    const scalar = (n: number) => int64([n], []);
    const constants = {
      two: scalar(2),
      three: scalar(3),
      one: scalar(1),
      minus: scalar(-1),
      zero: int64([0]),
      rest: int64([6, -1]),
    };
    expect(reshaped(nodes, constants)).toEqual([1, 6, 4]);
  });

  test('of what a ConstantOfShape is filled with', () => {
    const bytes = handModel({
      inputs: { x: [2, 3] },
      nodes: [
        node('Shape', ['x'], 's'),
        node('ConstantOfShape', ['s'], 'c', { value: float([2.5]) }),
        node('Mul', ['x', 'c'], 'y'),
      ],
    });
    expect([...valuesOf(bytes, { x: [1, 2, 3, 4, 5, 6] }).data]).toEqual([
      2.5, 5, 7.5, 10, 12.5, 15,
    ]);
  });

  test('a range and a one-hot table', () => {
    const bytes = handModel({
      inputs: { x: [3, 3] },
      initializers: {
        from: int64([0], []),
        to: int64([3], []),
        step: int64([1], []),
        depth: int64([3], []),
        values: float([0, 2]),
      },
      nodes: [
        node('Range', ['from', 'to', 'step'], 'r'),
        node('OneHot', ['r', 'depth', 'values'], 'h'),
        node('Mul', ['x', 'h'], 'y'),
      ],
    });
    const x = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect([...valuesOf(bytes, { x }).data]).toEqual([2, 0, 0, 0, 10, 0, 0, 0, 18]);
  });
});
