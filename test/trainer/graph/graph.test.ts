/** The graph as a container: equal nodes are one, and mistakes of ours are bugs. */
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { filled, Graph } from '../../../src/trainer/graph/graph.ts';
import {
  add,
  concat,
  matMul,
  reduceSum,
  reshape,
  slice,
  transpose,
} from '../../../src/trainer/graph/ops.ts';

describe('equal nodes are one', () => {
  test('operators on the same inputs with the same attributes', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3]);
    expect(reduceSum(x, [0])).toBe(reduceSum(x, [-2]));
    expect(reduceSum(x, [0])).not.toBe(reduceSum(x, [1]));
    expect(add(x, 1)).toBe(add(x, 1));
    expect(add(x, 1)).not.toBe(add(x, 2));
  });

  test('small constants by type, shape and value; inputs by name', () => {
    const graph = new Graph();
    expect(graph.scalar(2, 'float32')).toBe(graph.scalar(2, 'float32'));
    expect(graph.scalar(2, 'float32')).not.toBe(graph.scalar(2, 'float64'));
    const one = (shape: number[]) =>
      graph.constant({ dtype: 'float32', shape, data: Float32Array.of(1) });
    expect(one([1])).not.toBe(one([1, 1]));
    expect(graph.input('x', [2])).toBe(graph.input('x', [2]));
  });
});

describe('mistakes of ours', () => {
  const graph = new Graph();
  const x = graph.input('x', [2]);

  test.each<[string, () => unknown, string]>([
    ['an input of two types', () => graph.input('x', [3]), 'declared twice'],
    [
      'values of two graphs',
      () => graph.apply('Add', [x, new Graph().input('y', [2])], {}),
      'joins values of two graphs',
    ],
    ['too few inputs', () => graph.apply('Add', [x], {}), 'takes 2 to 2 inputs, not 1'],
    [
      'two outputs of one name',
      () => {
        graph.output('y', x);
        graph.output('y', x);
      },
      'output y is declared twice',
    ],
    ['a list of nothing', () => concat([], 0), 'concat of nothing'],
  ])('%s', (_title, act, message) => {
    expect(act).toThrow(message);
    expect(act).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  });
});

describe('shapes that do not fit name the operator and the shapes', () => {
  const graph = new Graph();
  const x = graph.input('x', [2, 3]);

  test.each<[string, () => unknown, string]>([
    ['Add', () => add(x, graph.input('y', [2])), '[2, 3] and [2] do not broadcast'],
    ['Add', () => add(x, graph.input('z', [2, 3], 'int64')), 'types float32 and int64 differ'],
    ['MatMul', () => matMul(x, x), '[2, 3] and [2, 3] do not multiply'],
    ['Reshape', () => reshape(x, [4]), '[2, 3] does not fill [4]'],
    ['Reshape', () => reshape(x, [-2, -3]), '[2, 3] does not fill [-2, -3]'],
    ['ReduceSum', () => reduceSum(x, [2]), 'axis 2 is out of range for rank 2'],
    ['ReduceSum', () => reduceSum(x, []), 'no axes are given'],
    ['Transpose', () => transpose(x, [0, -1]), '[0, -1] does not permute 2 axes'],
    ['Transpose', () => transpose(x, [1, 1]), '[1, 1] does not permute 2 axes'],
    ['Slice', () => slice(x, 5, 0, 1), 'axis 5 is out of range'],
    ['Concat', () => concat([x, graph.input('w', [3, 2])], 0), '[3, 2] does not join [2, 3]'],
    ['Concat', () => concat([x, graph.input('v', [2])], 1), '[2] does not join [2, 3]'],
    ['Concat', () => concat([x, graph.input('u', [2, 3], 'int64')], 0), 'the types differ'],
  ])('%s: %#', (operator, act, message) => {
    expect(act).toThrow(`${operator}: `);
    expect(act).toThrow(message);
    expect(act).toThrow(expect.objectContaining({ code: 'SHAPE_MISMATCH' }));
  });
});

test('no constants of types that are held as words', () => {
  expect(() => filled('float16', 1, 1)).toThrow(FlowstepError);
  expect([...filled('int64', 2, 3)]).toEqual([3n, 3n]);
});
