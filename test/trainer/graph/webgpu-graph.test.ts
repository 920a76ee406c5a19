import { describe, expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import {
  add,
  batchedMatMul,
  cast,
  gather,
  less,
  mul,
  reduceSum,
  reduceSumSquare,
  reshape,
  transpose,
  where,
} from '../../../src/trainer/graph/ops.ts';
import { webGpuGraph } from '../../../src/trainer/graph/webgpu-graph.ts';

const operators = (graph: Graph) =>
  graph.nodes.flatMap((node) => (node.kind === 'operator' ? [node.operator] : []));

const numbers = (count: number) => Array.from({ length: count }, (_, i) => Math.sin(3 * i + 1));

describe('a graph for WebGPU', () => {
  test('has the same inputs, outputs and values, and no type or operator without a kernel', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3, 4]);
    const w = graph.input('w', [4, 3]);
    const choice = graph.input('choice', [2], 'int64');
    const rows = gather(x, where(less(choice, 0), add(choice, 2), choice));
    graph.output('batched', batchedMatMul(x, rows, { transB: true, alpha: 0.5 }));
    graph.output('plain', batchedMatMul(w, w, { transA: true }));
    graph.output(
      'kept',
      where(reshape(less(x, 0.2), [6, 4]), reshape(rows, [6, 4]), mul(reshape(x, [6, 4]), 3)),
    );
    graph.output('numbers', cast(cast(choice, 'int64'), 'float32'));
    const form = webGpuGraph(graph);

    const types = form.nodes.flatMap(({ outputs }) => outputs.map(({ dtype }) => dtype));
    expect(types).not.toContain('int64');
    expect(operators(form)).not.toContain('FusedMatMul');
    expect(operators(form)).toContain('Gemm');
    const masks = form.nodes.filter((n) => n.kind === 'operator' && n.operator === 'Reshape');
    expect(masks.flatMap(({ inputs }) => inputs.map(({ dtype }) => dtype))).not.toContain('bool');

    const feeds = new Map<string, readonly number[]>([
      ['x', numbers(24)],
      ['w', numbers(12)],
      ['choice', [-1, 0]],
    ]);
    expect([...form.inputs.keys()]).toEqual([...graph.inputs.keys()]);
    expect([...form.outputs.keys()]).toEqual([...graph.outputs.keys()]);
    const expected = interpret(graph, feeds);
    for (const [name, { data }] of interpret(form, feeds)) {
      expect(Array.from(data), name).toEqual(Array.from(expected.get(name)!.data));
    }
  });

  test('writes each output by a kernel of its own', () => {
    const graph = new Graph();
    const x = graph.input('x', [1, 3]);
    const y = mul(x, 2);
    for (const name of ['first', 'second', 'third']) graph.output(name, y);
    graph.output('input', x);
    graph.output('reshaped', reshape(y, [3]));
    graph.output('swapped', transpose(y, [1, 0]));
    graph.output('summed', reduceSum(y, [0], false));
    graph.output('squared', reduceSumSquare(reshape(reduceSum(y), [])));
    const form = webGpuGraph(graph);
    const values = [...form.outputs.values()];
    expect(new Set(values).size).toBe(values.length);
    for (const { node } of values) {
      expect(node).toMatchObject({
        kind: 'operator',
        operator: expect.stringMatching(/^M(ul|ax)$/),
      });
    }
    const feeds = new Map([['x', [1.5, -2, 3]]]);
    const found = interpret(form, feeds);
    const all = [...found].map(([name, { data }]) => [name, Array.from(data)]);
    expect(Object.fromEntries(all)).toEqual({
      first: [3, -4, 6],
      second: [3, -4, 6],
      third: [3, -4, 6],
      input: [1.5, -2, 3],
      reshaped: [3, -4, 6],
      swapped: [3, -4, 6],
      summed: [3, -4, 6],
      squared: [25],
    });
  });

  test('keeps an order that is to be kept, and what is computed again', () => {
    const graph = new Graph('kept');
    const x = graph.input('x', [2]);
    const first = mul(x, 2);
    if (first.node.kind !== 'operator') throw new Error('not an operator');
    const [again] = graph.repeat(first.node, first.node.inputs);
    graph.output('y', add(first, again!));
    const form = webGpuGraph(graph);
    expect(form.order).toBe('kept');
    expect(operators(form)).toEqual(['Mul', 'Mul', 'Add']);
  });
});
