import { expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { GAN_HEADS, type GanHead } from '../../../src/trainer/methods/gan.ts';
import { discriminatorLogits } from '../../../src/trainer/nn/features.ts';
import { ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';

const [PLACES, CHANNELS] = [4, 3];

/** Logits of one sample's features [PLACES, CHANNELS], of a head whose weights are all different. */
function logits(head: GanHead, features: readonly number[]): number[] {
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'head');
  const seen = graph.input('features', [1, PLACES, CHANNELS]);
  graph.output('logits', discriminatorLogits(scope, head, seen));
  const weights = [...graph.inputs].flatMap(([name, { shape }]) =>
    name === 'features'
      ? []
      : [[name, Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i + 1))] as const],
  );
  const out = interpret(graph, new Map([['features', features], ...weights]));
  return [...out.get('logits')!.data].map(Number);
}

const FEATURES = Array.from({ length: PLACES * CHANNELS }, (_, i) => Math.cos(3 * i));
/** The same at other places. */
const MOVED = [...FEATURES.slice(CHANNELS), ...FEATURES.slice(0, CHANNELS)];

test('the logits of channels are their means', () => {
  const means = [0, 1, 2].map(
    (c) => FEATURES.filter((_, i) => i % CHANNELS === c).reduce((a, b) => a + b) / PLACES,
  );
  expect(logits('channels', FEATURES)).toEqual(means.map((x) => expect.closeTo(x, 6)));
});

test.each(GAN_HEADS)('%s: whether it matters where something is seen', (head) => {
  const [here, there] = [logits(head, FEATURES), logits(head, MOVED)];
  const gap = Math.max(...here.map((x, i) => Math.abs(x - there[i]!)));
  if (head === 'dense') expect(gap).toBeGreaterThan(1e-2);
  else expect(gap).toBeLessThan(1e-6);
});

test('a dense head over very many places is refused', () => {
  const graph = new Graph();
  const seen = graph.input('features', [1, 1024, 1024]);
  const scope = new ParameterScope(graph, 'head');
  expect(() => discriminatorLogits(scope, 'dense', seen)).toThrow(
    /67108864 weights, more than 16777216/,
  );
});
