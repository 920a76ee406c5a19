import { describe, expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { NetworkConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { cachedBatch, parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { noiseOf, tinyModel } from '../../support/tiny-models.ts';

const PATCHED = {
  kind: 'song-unet',
  size: 8,
  channels: 2,
  width: 4,
  multipliers: [1, 2],
  blocks: 1,
  attention: [2],
  patch: 2,
};
const INNER = { ...PATCHED, size: 4, channels: 8, patch: 1 };

const parse = (fields: object) => NetworkConfigSchema.parse(fields);

/** The velocity of one sample x of `fields`' shape, with the weights of the patched network. */
function velocityOf(fields: object, x: Float32Array): Float64Array {
  const network = parse(fields);
  const graph = new Graph();
  const values = graph.input('x', [1, ...sampleShape(network)]);
  const t = graph.input('t', [1]);
  graph.output('u', velocity(new ParameterScope(graph, 'network'), network, values, t));
  const feeds = new Map<string, ArrayLike<number>>([
    ['x', x],
    ['t', [0.3]],
  ]);
  const { parameters } = tinyModel(parse(PATCHED));
  for (const [name, { data }] of views(parameterList(network), parameters)) {
    feeds.set(`network/${name}`, data);
  }
  return interpret(graph, feeds).get('u')!.data;
}

/** Where element (c, y, x) of [2, 8, 8] stands in [8, 4, 4]: channel (c, y % 2, x % 2), place (y / 2, x / 2). */
function placeOf(index: number): number {
  const [c, y, x] = [Math.floor(index / 64), Math.floor(index / 8) % 8, index % 8];
  const channel = 4 * c + 2 * (y % 2) + (x % 2);
  return channel * 16 + Math.floor(y / 2) * 4 + Math.floor(x / 2);
}

describe('patches of a SongUNet', () => {
  test('the network sees the pixels of a patch as channels', () => {
    const x = noiseOf([2, 8, 8]).data;
    const folded = new Float32Array(x.length);
    for (const [i, value] of x.entries()) folded[placeOf(i)] = value;
    const inner = velocityOf(INNER, folded);
    expect(inner.some((v) => v !== 0)).toBe(true);
    expect([...velocityOf(PATCHED, x)]).toEqual([...x.keys()].map((i) => inner[placeOf(i)]));
  });

  test('its parameters and its memory are those of the network of half the size', () => {
    const [patched, inner] = [parse(PATCHED), parse(INNER)];
    const sizes = (network: typeof patched) =>
      parameterList(network).specs.map(({ name, shape }) => ({ name, shape }));
    expect(sizes(patched)).toEqual(sizes(inner));
    expect(cachedBatch(patched)).toBe(cachedBatch(inner));
  });

  test('a size that cannot be halved after folding is refused', () => {
    expect(() => parse({ ...PATCHED, patch: 3 })).toThrow(/halved/);
    expect(() => parse({ ...PATCHED, size: 12, patch: 4 })).toThrow(/halved/);
  });
});
