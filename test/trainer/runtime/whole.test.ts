import { expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { add } from '../../../src/trainer/graph/ops.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { noteMade, whole } from '../../../src/trainer/runtime/whole.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

const part = (seen: string[], name: string) => ({ [Symbol.dispose]: () => seen.push(name) });

test('what cannot be finished gives its parts back, the last first, and those of what was finished in it', () => {
  const seen: string[] = [];
  const make = () => {
    noteMade(part(seen, 'first'));
    whole(() => noteMade(part(seen, 'inner')));
    noteMade(part(seen, 'last'));
    throw new Error('no room');
  };
  expect(() => whole(make)).toThrow('no room');
  expect(seen).toEqual(['last', 'inner', 'first']);
});

test('what is finished keeps its parts', () => {
  const seen: string[] = [];
  expect(whole(() => noteMade(part(seen, 'part')))).toBeUndefined();
  noteMade(part(seen, 'of nothing'));
  expect(seen).toEqual([]);
});

test('programs that were made before one that fails are disposed of', () => {
  const { liveTensors } = engine();
  let program: Program | undefined;
  const make = () => {
    const graph = new Graph();
    graph.output('y', add(graph.input('x', [2]), 1));
    program = new Program(graph, { name: 'test' });
    program.bindInput('x', float32(new Float32Array(2), [2]));
    program.bindOutput('y', float32(new Float32Array(3), [3]));
  };
  expect(() => whole(make)).toThrow(/output y/);
  expect(engine().liveTensors).toBe(liveTensors);
  expect(() => program!.runSync()).toThrow(/disposed/);
});
