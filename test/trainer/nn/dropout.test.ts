/** Dropout's masks: how often, how independent, and the same for the same draws. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { NetworkConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { dropoutDraws, withDropout } from '../../../src/trainer/nn/dropout.ts';
import { velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { fillUniform } from '../../../src/trainer/random/philox.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import { TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const SHARE = 0.13;
const BATCH = 3;
const CHANNELS = 64;
const SIDE = 12;
const PLACES = SIDE * SIDE;

function draws(width: number, seed: number): Float32Array {
  const out = new Float32Array(BATCH * width);
  fillUniform(out, seed, 40, 1);
  return out;
}

/** Two masks of the same sizes, as two blocks have them: 1 where an element is dropped. */
function masks(seed: number) {
  const graph = new Graph();
  const width = 2 * (2 * CHANNELS) + 2 * PLACES;
  const scope = withDropout(
    new ParameterScope(graph, 'network'),
    graph.input('draws', [BATCH, width], 'float64'),
    SHARE,
  );
  const x = graph.input('x', [BATCH, CHANNELS, SIDE, SIDE], 'float64');
  graph.output('first', scope.dropout!(x));
  graph.output('second', scope.dropout!(x));
  const ones = new Float64Array(sizeOf(x.shape)).fill(1);
  const found = interpret(
    graph,
    new Map<string, ArrayLike<number>>([
      ['x', ones],
      ['draws', draws(width, seed)],
    ]),
  );
  return ['first', 'second'].map((name) =>
    [...found.get(name)!.data].map((v) => {
      if (v !== 0) expect(v).toBeCloseTo(1 / (1 - SHARE), 6);
      return Number(v === 0);
    }),
  ) as [number[], number[]];
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('masks', () => {
  const [first, second] = masks(1);
  const at = (mask: readonly number[], sample: number, channel: number, place: number) =>
    mask[(sample * CHANNELS + channel) * PLACES + place]!;
  /** Mean of the products of what is dropped, over all pairs that are `channels` and `places` apart. */
  const together = (channels: number, places: number) => {
    const products: number[] = [];
    for (let b = 0; b < BATCH; b++)
      for (let c = 0; c + channels < CHANNELS; c++)
        for (let s = 0; s + places < PLACES; s++)
          products.push(at(first, b, c, s) * at(first, b, c + channels, s + places));
    return mean(products);
  };

  test('drop the share that was asked for, and keep the mean', () => {
    expect(mean(first)).toBeCloseTo(SHARE, 2);
    expect(mean(second)).toBeCloseTo(SHARE, 2);
  });

  test.each([
    [0, 1],
    [0, SIDE],
    [1, 0],
    [1, 1],
    [7, 5],
  ])('%i channels and %i places apart they are independent', (channels, places) => {
    expect(Math.abs(together(channels, places) - SHARE ** 2)).toBeLessThan(0.004);
  });

  test('no two channels are alike, though the places have draws in common', () => {
    const alike = (a: number, b: number) =>
      mean(Array.from({ length: PLACES }, (_, s) => at(first, 0, a, s) * at(first, 0, b, s)));
    const most = Math.max(...Array.from({ length: CHANNELS - 1 }, (_, c) => alike(0, c + 1)));
    expect(most).toBeLessThan(SHARE / 2);
  });

  test('blocks and samples have masks of their own; the same draws give the same masks', () => {
    expect(mean(first.map((v, i) => v * second[i]!))).toBeCloseTo(SHARE ** 2, 2);
    const size = CHANNELS * PLACES;
    expect(first.slice(0, size)).not.toEqual(first.slice(size, 2 * size));
    expect(masks(1)).toEqual([first, second]);
    expect(masks(2)[0]).not.toEqual(first);
  });
});

describe('a SongUNet', () => {
  const network = NetworkConfigSchema.parse({
    kind: 'song-unet',
    size: 4,
    channels: 1,
    width: 4,
    multipliers: [1, 2],
    blocks: 1,
    attention: [2],
  });

  function velocities(share: number) {
    const graph = new Graph();
    const scope = new ParameterScope(graph, 'network', 'float64');
    const input = (name: string, shape: number[]) => graph.input(name, shape, 'float64');
    const all = withDropout(scope, input('draws', [BATCH, dropoutDraws(network)]), share);
    const x = input('x', [BATCH, ...sampleShape(network)]);
    const t = input('t', [BATCH]);
    graph.output('plain', velocity(scope, network, x, t));
    graph.output('dropped', velocity(all, network, x, t));
    const feeds = new Map<string, ArrayLike<number>>([
      ['x', Float64Array.from({ length: sizeOf(x.shape) }, (_, i) => Math.sin(i % 16))],
      ['t', [0.5, 0.5, 0.5]],
      ['draws', draws(dropoutDraws(network), 3)],
    ]);
    const { parameters } = tinyModel(network);
    for (const [name, { data }] of views(scope.list(), parameters))
      feeds.set(`network/${name}`, data);
    const found = interpret(graph, feeds);
    return { plain: [...found.get('plain')!.data], dropped: [...found.get('dropped')!.data] };
  }

  test('takes all its draws, and answers otherwise with each mask', () => {
    const { plain, dropped } = velocities(0.3);
    expect(plain.slice(0, 16)).toEqual(plain.slice(16, 32));
    expect(dropped.slice(0, 16)).not.toEqual(dropped.slice(16, 32));
    expect(dropped).not.toEqual(plain);
  });

  test('with next to no dropout it is as without', () => {
    const { plain, dropped } = velocities(1e-9);
    for (const [i, v] of dropped.entries()) expect(v).toBeCloseTo(plain[i]!, 6);
  });
});

test('networks without dropout say so', () => {
  expect(() => dropoutDraws(TINY_MLP)).toThrow(/kind mlp has no dropout/);
});
