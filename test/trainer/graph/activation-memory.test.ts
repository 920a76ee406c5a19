import { describe, expect, test } from 'vitest';
import { activationBytes } from '../../../src/trainer/graph/activation-memory.ts';
import { Arena } from '../../../src/trainer/graph/arena.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { add, exp, mul, reshape, sigmoid, transpose } from '../../../src/trainer/graph/ops.ts';

/** 4 KiB. */
const SHAPE = [32, 32];
const KIB = 1024;

function bytesOf(build: (x: Value) => Value): number {
  const graph = new Graph();
  graph.output('y', build(graph.input('x', SHAPE)));
  return activationBytes([graph]);
}

describe('the memory of activations', () => {
  test.each<[string, (x: Value) => Value, number]>([
    ['inputs and outputs are bound, not allocated', (x) => exp(x), 0],
    ['a value that is read once', (x) => exp(exp(x)), 4 * KIB],
    ['a chain takes turns in two buffers', (x) => exp(exp(exp(exp(exp(x))))), 8 * KIB],
    [
      'what is read later is kept beside them',
      (x) => {
        const early = exp(x);
        return mul(early, exp(exp(exp(early))));
      },
      12 * KIB,
    ],
    ['a reshape takes nothing', (x) => exp(reshape(exp(x), [1024])), 4 * KIB],
    ['a reshaped input takes nothing', (x) => exp(reshape(x, [1024])), 0],
    ['a sigmoid writes over what nothing else reads', (x) => exp(sigmoid(exp(x))), 4 * KIB],
    [
      'and beside it where something does',
      (x) => {
        const read = exp(x);
        return add(sigmoid(read), read);
      },
      8 * KIB,
    ],
    ['a transpose is a copy', (x) => exp(transpose(exp(x), [1, 0])), 8 * KIB],
  ])('%s', (_title, build, bytes) => {
    expect(bytesOf(build)).toBe(bytes);
  });

  test('graphs that take turns share it', () => {
    const graphOf = (size: number) => {
      const graph = new Graph();
      graph.output('y', exp(exp(graph.input('x', [size]))));
      return graph;
    };
    expect(activationBytes([graphOf(1024), graphOf(2048)])).toBe(8 * KIB);
  });
});

describe('the arena', () => {
  const MIB = 1 << 20;
  const [a, b, c, d] = [{}, {}, {}, {}];

  test('a gap is filled by what fits, and neighbours that are free are one', () => {
    const arena = new Arena();
    const take = (buffer: object, bytes: number) => arena.apply({ kind: 'take', buffer, bytes });
    const give = (buffer: object) => arena.apply({ kind: 'give', buffer, bytes: 0 });
    take(a, 256 * KIB);
    take(b, 128 * KIB);
    take(c, 128 * KIB);
    give(a);
    expect(arena.touchedBytes).toBe(512 * KIB);
    take(d, 100 * KIB);
    expect(arena.touchedBytes).toBe(512 * KIB);
    give(d);
    give(b);
    take(a, 384 * KIB);
    expect(arena.touchedBytes).toBe(512 * KIB);
  });

  test('regions double, and only what is used of them counts', () => {
    const arena = new Arena();
    arena.apply({ kind: 'take', buffer: a, bytes: 3 * MIB });
    arena.apply({ kind: 'take', buffer: b, bytes: 2 * MIB });
    // 4 MiB, of which b does not fit in the rest, and another 4.
    expect(arena.touchedBytes).toBe(5 * MIB);
    arena.apply({ kind: 'take', buffer: c, bytes: 1.5 * MIB });
    expect(arena.touchedBytes).toBe(6.5 * MIB);
  });
});
