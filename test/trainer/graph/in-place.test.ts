/** The proof that outputs may lie over inputs, held against runs in every order that the data flow allows. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Graph, type Node, type Value } from '../../../src/trainer/graph/graph.ts';
import { assertInPlaceSafe } from '../../../src/trainer/graph/in-place.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { add, exp, mul, neg, sub } from '../../../src/trainer/graph/ops.ts';

type Outputs = (x: Value, y: Value) => Readonly<Record<string, Value>>;

function graphOf(outputs: Outputs): Graph {
  const graph = new Graph();
  const made = outputs(graph.input('x', [2]), graph.input('y', [2]));
  for (const [name, value] of Object.entries(made)) graph.output(name, value);
  return graph;
}

describe('x may be replaced', () => {
  test.each<[string, Outputs]>([
    ['by what is made of it', (x) => ({ next: add(x, 1) })],
    ['when the last node reads it again', (x) => ({ next: add(x, exp(x)) })],
    ['when what else reads it comes before', (x, y) => ({ next: sub(x, mul(y, exp(x))) })],
    ['when nothing reads it', (_x, y) => ({ next: neg(y) })],
    [
      'when another output is on the way',
      (x) => {
        const half = mul(x, 0.5);
        return { half, next: add(half, 1) };
      },
    ],
  ])('%s', (_title, outputs) => {
    const overlaps = [{ output: 'next', inputs: ['x'] }];
    expect(() => assertInPlaceSafe(graphOf(outputs), overlaps)).not.toThrow();
  });

  test('when the graph has no such input', () => {
    const overlaps = [{ output: 'next', inputs: ['x', 'z'] }];
    expect(() =>
      assertInPlaceSafe(
        graphOf((x) => ({ next: neg(x) })),
        overlaps,
      ),
    ).not.toThrow();
  });
});

describe('x may not be replaced', () => {
  test.each<[string, Outputs]>([
    ['when an output beside it reads it', (x) => ({ next: add(x, 1), other: exp(x) })],
    [
      'when something after it reads it',
      (x) => {
        const next = add(x, 1);
        return { next, other: mul(next, x) };
      },
    ],
    ['by what does not depend on its readers', (x, y) => ({ next: neg(y), other: exp(x) })],
  ])('%s', (_title, outputs) => {
    const overlaps = [{ output: 'next', inputs: ['x'] }];
    expect(() => assertInPlaceSafe(graphOf(outputs), overlaps)).toThrow(
      'output next may be written before x is read',
    );
  });

  test('by an output that is not there', () => {
    const graph = graphOf((x) => ({ next: neg(x) }));
    expect(() => assertInPlaceSafe(graph, [{ output: 'last', inputs: ['x'] }])).toThrow(
      'no output last',
    );
  });
});

const OPERATIONS: Readonly<Partial<Record<string, (a: number, b: number) => number>>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
};

/** Runs scalars in a drawn order; each output named in `over` is stored where that input lies. */
function runInOrder(
  graph: Graph,
  feeds: ReadonlyMap<string, readonly number[]>,
  over: ReadonlyMap<string, string>,
  pick: (count: number) => number,
): Map<string, number> {
  const memory = new Map([...graph.inputs].map(([name, v]) => [v.id, feeds.get(name)![0]!]));
  const cells = new Map<number, number>();
  for (const [name, value] of graph.outputs) {
    const input = over.get(name);
    if (input !== undefined) cells.set(value.id, graph.inputs.get(input)!.id);
  }
  const cell = (v: Value) => cells.get(v.id) ?? v.id;
  const done = new Set<Node>(graph.nodes.filter((n) => n.kind === 'input'));
  const open = graph.nodes.filter((n) => n.kind === 'operator');
  while (open.length > 0) {
    const ready = open.filter((n) => n.inputs.every((v) => done.has(v.node)));
    const node = ready[pick(ready.length)]!;
    const [a, b] = node.inputs.map((v) => memory.get(cell(v))!) as [number, number];
    memory.set(cell(node.outputs[0]!), OPERATIONS[node.operator]!(a, b));
    done.add(node);
    open.splice(open.indexOf(node), 1);
  }
  return new Map([...graph.outputs].map(([name, v]) => [name, memory.get(cell(v))!]));
}

test('what is said to be safe gives the same results in any order', () => {
  const step = fc.record({
    kind: fc.constantFrom(add, sub, mul),
    left: fc.nat(),
    right: fc.nat(),
  });
  let safe = 0;
  let unsafe = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 8 }),
      fc.nat(),
      fc.infiniteStream(fc.nat()),
      (steps, chosen, order) => {
        const graph = new Graph();
        const values = ['x', 'y', 'z'].map((name) => graph.input(name, []));
        for (const { kind, left, right } of steps) {
          values.push(kind(values[left % values.length]!, values[right % values.length]!));
        }
        const made = [...new Set(values.slice(3))];
        const written = made[chosen % made.length]!;
        for (const [i, v] of made.entries()) graph.output(v === written ? 'next' : `o${i}`, v);
        const feeds = new Map([
          ['x', [1.25]],
          ['y', [-0.75]],
          ['z', [3.5]],
        ]);
        try {
          assertInPlaceSafe(graph, [{ output: 'next', inputs: ['x'] }]);
          safe++;
        } catch {
          unsafe++;
          return;
        }
        const expected = interpret(graph, feeds);
        const pick = (count: number) => Number(order.next().value) % count;
        const found = runInOrder(graph, feeds, new Map([['next', 'x']]), pick);
        for (const [name, value] of found) expect(value).toBe(expected.get(name)!.data[0]);
      },
    ),
    { numRuns: 2000 },
  );
  expect(Math.min(safe, unsafe)).toBeGreaterThan(100);
});
