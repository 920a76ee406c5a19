import { describe, expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { MmditConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import { positionTable } from '../../../src/trainer/nn/position-table.ts';
import { runOnce } from '../../support/gradcheck.ts';
import { normals, randomWeights, smallMmdit } from '../../support/small-mmdit.ts';

/** The velocity at random inputs, of latents of any size. */
function velocityAt(config = smallMmdit(), [height, width] = [config.height, config.width]) {
  const weights = randomWeights(config);
  const graph = new Graph();
  const x = graph.input('x', [1, config.channels, height, width]);
  const context = graph.input('context', [1, 3, config.contextWidth]);
  const pooled = graph.input('pooled', [1, config.pooledWidth]);
  const t = graph.input('t', [1]);
  const scope = new ParameterScope(graph, 'network');
  graph.output('v', velocity(scope, config, x, t, { context, pooled }));
  return (values: ArrayLike<number>, changed: Readonly<Record<string, ArrayLike<number>>> = {}) => {
    const feeds = new Map<string, ArrayLike<number>>([
      ['x', values],
      ['context', normals(3 * config.contextWidth, 11)],
      ['pooled', normals(config.pooledWidth, 12)],
      ['t', [0.6]],
      ...[...weights].map(([name, { data }]) => [`network/${name}`, data] as const),
      ...Object.entries(changed),
    ]);
    return runOnce(graph, feeds).get('v')!;
  };
}

describe('MM-DiT', () => {
  test('gives a velocity of any size that the position table covers', () => {
    for (const [height, width] of [
      [4, 6],
      [10, 2],
      [3, 5],
    ] as const) {
      const v = velocityAt(smallMmdit(), [height, width])(normals(3 * height * width, 5));
      expect(v.shape).toEqual([1, 3, height, width]);
      expect(v.data.every(Number.isFinite)).toBe(true);
    }
  });

  test('depends on time, context and pooled vector', () => {
    const x = normals(72, 5);
    const at = velocityAt();
    const base = at(x).data;
    for (const changed of [
      { t: [0.7] },
      { context: normals(21, 21) },
      { pooled: normals(5, 22) },
    ]) {
      const moved = at(x, changed as Record<string, ArrayLike<number>>).data;
      expect(Math.max(...moved.map((v, i) => Math.abs(v - base[i]!)))).toBeGreaterThan(1e-5);
    }
  });

  test('a network without context is refused, as by a bug of ours', () => {
    const config = smallMmdit();
    const graph = new Graph();
    const x = graph.input('x', [1, ...sampleShape(config)]);
    const t = graph.input('t', [1]);
    expect(() => velocity(new ParameterScope(graph, 'network'), config, x, t)).toThrow(
      /needs context/,
    );
  });

  test('starts as a network that gives zero, with unit gains and the fixed positions', () => {
    const config = smallMmdit({ qkNorm: true });
    const list = parameterList(config);
    const flat = initialise(list, 4);
    const part = (name: string) => {
      const { offset, size } = list.specs.find((spec) => spec.name === name)!;
      return flat.subarray(offset, offset + size);
    };
    expect(part('final_layer.linear.weight').every((w) => w === 0)).toBe(true);
    expect(part('joint_blocks.1.x_block.attn.ln_k.weight').every((w) => w === 1)).toBe(true);
    expect([...part('pos_embed').slice(0, 256)]).toEqual([...positionTable(5, 128).slice(0, 256)]);
  });
});

test('the position table has the column first, then the row, each as sines and cosines', () => {
  const table = positionTable(3, 8);
  const at = [...table.subarray((2 * 3 + 1) * 8, (2 * 3 + 2) * 8)];
  // Row 2, column 1; frequencies 1 and 1/100.
  const expected = [1, 0.01].map(Math.sin).concat([1, 0.01].map(Math.cos));
  const row = [2, 0.02].map(Math.sin).concat([2, 0.02].map(Math.cos));
  for (const [i, value] of [...expected, ...row].entries()) expect(at[i]).toBeCloseTo(value, 6);
});

describe('the configuration', () => {
  test('has the released sizes as defaults', () => {
    const config = MmditConfigSchema.parse({ kind: 'mmdit', depth: 24 });
    const list = parameterList(config);
    const table = list.specs.find(({ name }) => name === 'pos_embed')!;
    // Stable Diffusion 3 medium has 2.03 billion parameters and a table of 192 x 192 places.
    expect(table.size).toBe(192 * 192 * 1536);
    expect(list.size - table.size).toBe(2_028_328_000);
  });

  test.each([
    ['positions', { positions: 2 }],
    ['dualBlocks', { dualBlocks: [2] }],
  ])('refuses a wrong %s', (field, wrong) => {
    const { success, error } = MmditConfigSchema.safeParse({ ...smallMmdit(), ...wrong });
    expect(success).toBe(false);
    expect(error!.issues[0]!.path).toEqual([field]);
  });
});
