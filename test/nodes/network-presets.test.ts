import { describe, expect, test } from 'vitest';
import { NETWORK_PRESET_NAMES, networkFor } from '../../src/nodes/network-presets.ts';
import { patchFor } from '../../src/nodes/patch-size.ts';
import type { Dataset } from '../../src/trainer/data/dataset.ts';
import { NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import { latestTime, parameterList } from '../../src/trainer/nn/network.ts';

function dataOf(shape: number[], classes = 0): Dataset {
  const batch = () => ({ x: new Float32Array() });
  return { name: 'pets', shape, classes, hash: 'h', batch };
}

describe('presets', () => {
  test('those that shipped models name stay as they are', () => {
    expect(networkFor('mlp-2d', dataOf([2]))).toEqual({
      kind: 'mlp',
      dim: 2,
      width: 128,
      layers: 3,
      activation: 'silu',
      time: 'fourier',
    });
    expect(networkFor('dit-fashion', dataOf([1, 28, 28], 10))).toEqual({
      kind: 'dit',
      size: 28,
      channels: 1,
      patch: 4,
      width: 128,
      depth: 6,
      heads: 4,
      classes: 10,
    });
    expect(networkFor('unet-fashion', dataOf([1, 28, 28], 10))).toEqual({
      kind: 'song-unet',
      size: 28,
      channels: 1,
      patch: 2,
      width: 24,
      multipliers: [1, 2],
      blocks: 1,
      attention: [7],
      classes: 10,
      augment: 0,
      embedding: 'positional',
      noiseMultiplier: 1,
      embeddingMultiplier: 4,
      encoder: 'standard',
      decoder: 'standard',
      filter: [1, 1],
      precondition: 'edm',
      sigmaData: 0.75,
    });
    expect(NETWORK_PRESET_NAMES.slice(0, 2)).toEqual(['mlp-2d', 'dit-fashion']);
  });

  test("song-unet is EDM's released network for CIFAR-10, with the classes of the data or without", () => {
    const trained = (classes: number) =>
      parameterList(networkFor('song-unet', dataOf([3, 32, 32], classes)))
        .specs.filter(({ init }) => init.kind !== 'fixed')
        .reduce((sum, { size }) => sum + size, 0);
    expect(trained(0)).toBe(55_733_891);
    expect(trained(10)).toBe(55_733_891 + 11 * 128);
    expect(networkFor('song-unet', dataOf([3, 32, 32], 10))).toMatchObject({
      precondition: 'edm',
      augment: 9,
      attention: [16],
      classes: 10,
    });
    expect(latestTime(networkFor('song-unet-flow', dataOf([3, 32, 32], 10)))).toBe(1);
    expect(() => networkFor('song-unet-flow', dataOf([3, 28, 28], 10))).toThrow(
      /size \/ patch must be halved/,
    );
    expect(() => networkFor('song-unet', dataOf([2]))).toThrow(/makes squares/);
  });

  test.each([
    { preset: 'mlp', shape: [17], classes: 3, expected: { kind: 'mlp', dim: 17 } },
    {
      preset: 'dit-s',
      shape: [3, 32, 32],
      classes: 0,
      expected: { size: 32, channels: 3, patch: 4, classes: 0 },
    },
    {
      preset: 'dit-s',
      shape: [1, 28, 28],
      classes: 10,
      expected: { size: 28, channels: 1, patch: 4, classes: 10 },
    },
    {
      preset: 'dit-b',
      shape: [16, 64, 64],
      classes: 2,
      expected: { size: 64, channels: 16, patch: 4, classes: 2 },
    },
  ] as const)(
    '$preset fits itself to samples $shape of $classes classes',
    ({ preset, shape, classes, expected }) => {
      const network = networkFor(preset, dataOf([...shape], classes));
      expect(network).toMatchObject(expected);
      expect(NetworkConfigSchema.parse(network)).toEqual(network);
    },
  );

  test.each([
    ['dit-s', 7],
    ['dit-b', 39],
  ] as const)('%s has about %i million parameters', (preset, millions) => {
    const { size } = parameterList(networkFor(preset, dataOf([3, 32, 32])));
    expect(Math.round(size / 1e6)).toBe(millions);
  });

  test('mmdit-s takes its widths of text from the prompts', () => {
    const network = networkFor('mmdit-s', dataOf([3, 32, 32], 7), {
      contextWidth: 384,
      pooledWidth: 40,
    });
    expect(network).toEqual({
      ...{ kind: 'mmdit', depth: 4, height: 32, width: 32, channels: 3, patch: 4, positions: 8 },
      ...{ contextWidth: 384, pooledWidth: 40, qkNorm: false, dualBlocks: [] },
    });
    expect(Math.round(parameterList(network).size / 1e6)).toBe(9);
    expect(() => networkFor('mmdit-s', dataOf([3, 32, 32]))).toThrow(
      /mmdit-s takes text, and there are no prompts for data set pets/,
    );
  });

  test.each([
    { preset: 'mlp-2d', shape: [3], hint: /fit this data set: mlp\./ },
    { preset: 'dit-fashion', shape: [3, 64, 64], hint: /: dit-s, dit-b, song-unet, / },
    { preset: 'mlp', shape: [1, 28, 28], hint: /: dit-s, dit-b, song-unet, / },
    { preset: 'dit-s', shape: [2], hint: /: mlp-2d, mlp\./ },
    { preset: 'dit-s', shape: [3, 32, 48], hint: /No network preset .* size in Flow Dataset/ },
    { preset: 'dit-b', shape: [3, 127, 127], hint: /No network preset/ },
    { preset: 'mlp', shape: [5000], hint: /No network preset/ },
  ] as const)('$preset refuses samples $shape and names what fits', ({ preset, shape, hint }) => {
    expect(() => networkFor(preset, dataOf([...shape]))).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: expect.stringContaining('pets'),
        hint: expect.stringMatching(hint),
      }),
    );
  });
});

test.each([
  [8, 3, 1],
  [16, 3, 2],
  [28, 1, 4],
  [32, 3, 4],
  [64, 3, 8],
  [128, 3, 8],
  [256, 3, 16],
  [512, 3, 32],
  [32, 4, 2],
  [64, 16, 4],
  [16, 4, 1],
  [100, 3, 5],
  [1, 3, 1],
  [37, 3, undefined],
])('pictures of %i with %i channels are cut into patches of %s', (size, channels, patch) => {
  expect(patchFor(size, channels)).toBe(patch);
});
