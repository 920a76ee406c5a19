/** Graphs for CUDA: no lists of the host, and attention as one operator. */
import { describe, expect, test } from 'vitest';
import { cudaGraph, isFreeOfHost } from '../../../src/trainer/graph/cuda-graph.ts';
import { Graph, type OperatorNode, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { lowPrecisionGraph } from '../../../src/trainer/graph/low-precision.ts';
import { neededNodes } from '../../../src/trainer/graph/onnx-encode.ts';
import { concat, matMul, split } from '../../../src/trainer/graph/ops.ts';
import { BENCH_CONFIGS } from '../../../src/trainer/run/benchmark.ts';
import { type Shape, sameShape, sizeOf } from '../../../src/trainer/tensor.ts';
import { computed, distance, drawFeeds, gradientCase } from '../../support/gradient-case.ts';
import { roundingGraph } from '../../support/sixteen-bits.ts';

/** Operators that some output needs. */
const operators = (graph: Graph): OperatorNode[] =>
  [...neededNodes(graph)].filter((node): node is OperatorNode => node.kind === 'operator');

const count = (graph: Graph, name: string) =>
  operators(graph).filter(({ operator }) => operator === name).length;

/** Outputs for inputs of 0, 1, 2, ... */
function results(graph: Graph): Record<string, number[]> {
  const feeds = new Map(
    [...graph.inputs].map(([name, { shape }]) => [
      name,
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
    ]),
  );
  return Object.fromEntries(
    [...interpret(graph, feeds)].map(([name, { data }]) => [name, [...data]]),
  );
}

interface Case {
  readonly name: string;
  readonly shapes: readonly Shape[];
  build(inputs: readonly Value[]): readonly Value[];
  /** Whether it was without lists before. */
  readonly isFree?: boolean;
  /** Whether it is without lists as CUDA has it. */
  readonly becomesFree: boolean;
}

const CASES: readonly Case[] = [
  {
    name: 'parts of one size',
    shapes: [
      [2, 3],
      [2, 3],
    ],
    build: (parts) => [concat(parts, 1)],
    isFree: true,
    becomesFree: true,
  },
  {
    name: 'parts of several sizes',
    shapes: [
      [2, 4, 3],
      [2, 6, 3],
      [2, 2, 3],
    ],
    build: (parts) => [concat(parts, 1)],
    becomesFree: true,
  },
  {
    name: 'parts whose common size is too small',
    shapes: [
      [1, 40],
      [1, 33],
    ],
    build: (parts) => [concat(parts, -1)],
    becomesFree: false,
  },
  {
    name: 'a tensor in parts of several sizes',
    shapes: [[2, 7]],
    build: ([x]) => split(x!, -1, [1, 4, 2]),
    becomesFree: true,
  },
  {
    name: 'a tensor in parts of one size',
    shapes: [[6, 2]],
    build: ([x]) => split(x!, 0, [2, 2, 2]),
    isFree: true,
    becomesFree: true,
  },
  {
    name: 'one matrix by many',
    shapes: [
      [2, 3],
      [2, 4, 3, 2],
    ],
    build: ([a, b]) => [matMul(a!, b!)],
    becomesFree: true,
  },
  {
    name: 'many matrices by one',
    shapes: [
      [4, 2, 3],
      [3, 2],
    ],
    build: ([a, b]) => [matMul(a!, b!)],
    isFree: true,
    becomesFree: true,
  },
];

describe.each(CASES)('$name', ({ shapes, build, isFree = false, becomesFree }) => {
  const graph = new Graph();
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, shape));
  for (const [i, value] of build(inputs).entries()) graph.output(`y${i}`, value);

  test('gives the same numbers, and needs no lists where that can be had', () => {
    const form = cudaGraph(graph);
    expect(results(form)).toEqual(results(graph));
    expect([isFreeOfHost(graph), isFreeOfHost(form)]).toEqual([isFree, becomesFree]);
    expect(form === graph).toBe(false);
  });
});

describe('attention of dit-xs', () => {
  const made = gradientCase('dit-xs');
  const { depth } = BENCH_CONFIGS['dit-xs'].network;
  const low = lowPrecisionGraph(made.graph, 'bfloat16');
  const form = cudaGraph(low);

  test('is one operator in 16 bits', () => {
    expect(count(low, 'Attention')).toBe(0);
    expect(count(form, 'Attention')).toBe(depth);
    // The weights are for the backward pass alone, and no sum is taken over them.
    expect(count(form, 'Softmax')).toBe(depth);
    const sums = operators(form).filter(({ operator }) => operator === 'ReduceSum');
    const weights = operators(form).find(({ operator }) => operator === 'Softmax')!.outputs[0]!;
    expect(sums.filter(({ inputs }) => sameShape(inputs[0]!.shape, weights.shape))).toEqual([]);
  });

  test('is products in float32', () => {
    expect(count(cudaGraph(made.graph), 'Attention')).toBe(0);
  });

  test('gives nearly the same gradients', async () => {
    const draws = [drawFeeds(made, 0), drawFeeds(made, 1)];
    const [right, rounded, fused] = await Promise.all(
      [made.graph, roundingGraph(low, 'bfloat16'), roundingGraph(form, 'bfloat16')].map((graph) =>
        computed(graph, draws),
      ),
    );
    for (const i of draws.keys()) {
      const error = (found: typeof right) => distance(found![i]!.gradient, right![i]!.gradient);
      expect(error(fused)).toBeGreaterThan(0);
      expect(error(fused)).toBeLessThan(1.2 * error(rounded));
    }
  });

  test('that is computed again is one operator too', () => {
    const again = lowPrecisionGraph(gradientCase('dit-xs', true).graph, 'bfloat16');
    expect(count(again, 'Softmax')).toBeGreaterThan(depth);
    expect(count(cudaGraph(again), 'Attention')).toBe(count(again, 'Softmax'));
  });
});
