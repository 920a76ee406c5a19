/** Which gradients are built, and which are not. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { exp, gemm, mul, reduceSum, square } from '../../../src/trainer/graph/ops.ts';

const operators = (graph: Graph) =>
  graph.nodes.flatMap((n) => (n.kind === 'operator' ? [n.operator] : []));

function valuesOf(graph: Graph, feeds: Record<string, number[]>, values: readonly Value[]) {
  for (const [i, v] of values.entries()) graph.output(`${i}`, v);
  return [...interpret(graph, new Map(Object.entries(feeds))).values()].map((r) => [...r.data]);
}

describe('what is asked for', () => {
  test('a value that the loss does not depend on gets zeros of its shape', () => {
    const graph = new Graph();
    const x = graph.input('x', [2]);
    const other = graph.input('other', [2, 1]);
    const found = gradients(reduceSum(square(x)), [other, x]);
    expect(found.map((g) => g.shape)).toEqual([[2, 1], [2]]);
    expect(valuesOf(graph, { x: [3, 4], other: [1, 1] }, found)).toEqual([
      [0, 0],
      [6, 8],
    ]);
  });

  test('inner values, the loss itself, and one value twice', () => {
    const graph = new Graph();
    const x = graph.input('x', [2]);
    const inner = square(x);
    const loss = reduceSum(exp(inner));
    const found = gradients(loss, [inner, loss, x, x]);
    const [e0, e1] = [Math.exp(1), Math.exp(4)];
    expect(valuesOf(graph, { x: [1, 2] }, found)).toEqual([
      [e0, e1],
      [1],
      [2 * e0, 4 * e1],
      [2 * e0, 4 * e1],
    ]);
  });

  test('nothing flows back through a value that is held', () => {
    const graph = new Graph();
    const x = graph.input('x', [2]);
    const weight = exp(x);
    // d/dx (w x^2) with w = e^x as a constant.
    const found = gradients(reduceSum(mul(weight, square(x))), [x], [weight]);
    expect(valuesOf(graph, { x: [1, 2] }, found)).toEqual([[2 * Math.exp(1), 4 * Math.exp(2)]]);
  });

  test('a held value that is asked for gets zeros', () => {
    const graph = new Graph();
    const [x, fixed] = [graph.input('x', [2]), graph.input('fixed', [2])];
    const found = gradients(reduceSum(mul(fixed, x)), [x, fixed], [fixed]);
    const feeds = { x: [1, 2], fixed: [5, 7] };
    expect(valuesOf(graph, feeds, found)).toEqual([
      [5, 7],
      [0, 0],
    ]);
  });

  test('constants too', () => {
    const graph = new Graph();
    const c = graph.constant({ dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) });
    const found = gradients(reduceSum(mul(c, graph.input('x', [2]))), [c]);
    expect(valuesOf(graph, { x: [5, 7] }, found)).toEqual([[5, 7]]);
  });

  test('a loss that is no scalar is a mistake of ours', () => {
    const graph = new Graph();
    const x = graph.input('x', [1]);
    expect(() => gradients(x, [x])).toThrow('internal: the loss must be a scalar');
  });
});

describe('what is not asked for', () => {
  /** x W^T W'^T through two layers. */
  function twoLayers() {
    const graph = new Graph();
    const x = graph.input('x', [3, 4]);
    const [first, second] = [graph.input('first', [5, 4]), graph.input('second', [2, 5])];
    const hidden = gemm(x, first, undefined, { transB: true });
    const loss = reduceSum(square(gemm(hidden, second, undefined, { transB: true })));
    return { graph, x, first, second, loss };
  }

  test('frozen weights cost no product, and layers before the first wanted value none at all', () => {
    const products = (wanted: 'x' | 'first' | 'second') => {
      const layers = twoLayers();
      gradients(layers.loss, [layers[wanted]]);
      return operators(layers.graph).filter((name) => name === 'Gemm').length - 2;
    };
    expect(products('second')).toBe(1);
    expect(products('first')).toBe(2);
    expect(products('x')).toBe(2);
  });

  test('a second loss of the same graph shares nodes with the first', () => {
    const { graph, loss, first } = twoLayers();
    gradients(loss, [first]);
    const before = graph.nodes.length;
    gradients(loss, [first]);
    expect(graph.nodes.length).toBe(before);
  });
});
