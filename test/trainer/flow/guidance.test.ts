import { expect, test } from 'vitest';
import { guidedVelocity } from '../../../src/trainer/flow/guidance.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';

const V = [1, 2, 3, 4];
const BASE = [0, 1, 5, 4];
/** base + 3 (v - base). */
const LED = [3, 4, -1, 4];

/** Two samples of a picture of 2 x 1, at times `t` of them, or at one for both. */
function guided(t: readonly number[] | number, latest?: number): number[] {
  const graph = new Graph();
  const input = (name: string) => graph.input(name, [2, 1, 2, 1], 'float64');
  const time = graph.input('t', typeof t === 'number' ? [] : [2], 'float64');
  graph.output('out', guidedVelocity(input('v'), input('base'), time, { scale: 3, latest }));
  const feeds = new Map([
    ['v', V],
    ['base', BASE],
    ['t', [t].flat()],
  ]);
  return [...interpret(graph, feeds).get('out')!.data];
}

test('guidance goes as many times as far as its scale from the velocity without the condition', () => {
  expect(guided([0.1, 1])).toEqual(LED);
});

test.each([0, 0.4, 0.5, 0.6, 1])('above its latest time, 0.5, there is none: at t = %d', (t) => {
  expect(guided(t, 0.5)).toEqual(t <= 0.5 ? LED : V);
});

test('each sample of a batch has its own time', () => {
  expect(guided([0.4, 0.6], 0.5)).toEqual([...LED.slice(0, 2), ...V.slice(2)]);
  expect(guided([0.6, 0.4], 0.5)).toEqual([...V.slice(0, 2), ...LED.slice(2)]);
});
