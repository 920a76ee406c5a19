import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { withRecompute } from '../../../src/trainer/autodiff/recompute.ts';
import { sha256 } from '../../../src/trainer/files/hash.ts';
import { activationBytes } from '../../../src/trainer/graph/activation-memory.ts';
import { flopsOf } from '../../../src/trainer/graph/flops.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { gelu, matMul, mul, reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import { type NetworkConfig, NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { TeacherTrainer } from '../../../src/trainer/run/teacher-trainer.ts';
import { TINY_DIT, tinyModel } from '../../support/tiny-models.ts';
import { TINY_DISTILL } from '../../support/training.ts';

const DEPTH = 5;
const WIDTH = 64;

/** A tower of blocks gelu(h A) B + h, and the number of its first backward node. */
function tower(): { graph: Graph; backward: number } {
  const graph = new Graph();
  const weights = Array.from({ length: DEPTH }, (_, i) => [
    graph.input(`a${i}`, [WIDTH, 4 * WIDTH]),
    graph.input(`b${i}`, [4 * WIDTH, WIDTH]),
  ]);
  let h: Value = graph.input('x', [256, WIDTH]);
  for (const [a, b] of weights) {
    const before = h;
    h = graph.block(() => matMul(gelu(matMul(before, a!), 'tanh'), b!));
  }
  const loss = reduceSumSquare(h);
  graph.output('loss', loss);
  const backward = graph.nodes.length;
  for (const [i, g] of gradients(mul(loss, 0.5), weights.flat()).entries()) {
    graph.output(`gradient-${i}`, g);
  }
  return { graph, backward };
}

const countOf = (graph: Graph, operator: string) =>
  graph.nodes.filter((node) => node.kind === 'operator' && node.operator === operator).length;

describe('a graph with recompute', () => {
  const { graph, backward } = tower();
  const done = withRecompute(graph, backward);

  test('repeats what is inside of blocks, but not the last block and not their results', () => {
    expect(countOf(done, 'Gelu')).toBe(countOf(graph, 'Gelu') + DEPTH - 1);
    // Of a block's two products the second is its result, which is kept.
    const again = flopsOf(done) - flopsOf(graph);
    expect(again).toBe((DEPTH - 1) * 2 * 256 * WIDTH * 4 * WIDTH);
  });

  test('has the same inputs and outputs', () => {
    const shapes = (of: ReadonlyMap<string, Value>) =>
      Object.fromEntries([...of].map(([name, { shape }]) => [name, shape]));
    expect(shapes(done.inputs)).toEqual(shapes(graph.inputs));
    expect(shapes(done.outputs)).toEqual(shapes(graph.outputs));
  });

  test('keeps the order of its nodes, copies late and outputs early', () => {
    expect(done.order).toBe('kept');
    const copies = done.nodes
      .flatMap((node, i) => (node.kind === 'operator' && node.operator === 'Gelu' ? [i] : []))
      .slice(DEPTH);
    const result = (i: number) => done.nodes.indexOf(done.outputs.get(`gradient-${i}`)!.node);
    // Each block is computed again only after the gradients of the block behind it are done.
    for (const [k, copy] of copies.entries()) {
      const behind = DEPTH - 1 - k;
      expect(copy).toBeGreaterThan(result(2 * behind));
      expect(copy).toBeGreaterThan(result(2 * behind + 1));
    }
  });

  test('needs less memory', () => {
    expect(activationBytes([done])).toBeLessThan(0.6 * activationBytes([graph]));
  });

  test('a graph without blocks stays as it is', () => {
    const plain = new Graph();
    const x = plain.input('x', [3]);
    const loss = reduceSumSquare(gelu(x, 'tanh'));
    const first = plain.nodes.length;
    plain.output('gradient', gradients(loss, [x])[0]!);
    expect(withRecompute(plain, first).nodes).toHaveLength(plain.nodes.length);
  });

  test('blocks do not contain each other', () => {
    const other = new Graph();
    const x = other.input('x', [3]);
    const inner = () => other.block(() => gelu(x, 'tanh'));
    expect(() => other.block(inner)).toThrow('contains another');
  });
});

const DIT = NetworkConfigSchema.parse({ ...TINY_DIT, depth: 3 });
const UNET = NetworkConfigSchema.parse({
  kind: 'song-unet',
  size: 8,
  channels: 1,
  width: 8,
  multipliers: [1],
  blocks: 1,
  attention: [],
});

describe('training with recompute gives the same bits', () => {
  async function trained(trainer: Distiller | TeacherTrainer, steps = 2) {
    const metrics = [];
    for (let step = 0; step < steps; step++) metrics.push((await trainer.step(step)).metrics);
    // Hashes, as a difference of long vectors takes minutes to be shown.
    const state = [...trainer.state].map(([name, { buffer, byteOffset, byteLength }]) => [
      name,
      sha256(new Uint8Array(buffer, byteOffset, byteLength)),
    ]);
    trainer.dispose();
    return { metrics, state };
  }
  const SMALL = { ...TINY_DISTILL, batch: 3, online: { ...TINY_DISTILL.online, updates: 1 } };
  const distilled = (network: NetworkConfig, recompute: boolean, steps?: number) =>
    trained(new Distiller({ ...SMALL, teacher: tinyModel(network), recompute }), steps);

  test('a distillation of a DiT', async () => {
    expect(await distilled(DIT, true)).toEqual(await distilled(DIT, false));
  });

  test('of a SongUNet to rounding: the library joins a convolution with what is added to it where it can', async () => {
    const [first] = (await distilled(UNET, true, 1)).metrics;
    const [expected] = (await distilled(UNET, false, 1)).metrics;
    for (const [name, value] of Object.entries(expected!)) {
      expect(first![name]! / value, name).toBeCloseTo(1, 5);
    }
  });

  test('and a teacher, so runs go on with and without', async () => {
    const x = new Float32Array(SMALL.batch * 16).map((_, i) => Math.sin(i));
    const labels = Int32Array.from({ length: SMALL.batch }, (_, i) => i % 3);
    const dataset = { name: 'waves', hash: '1', shape: [1, 4, 4], classes: 3 };
    const teacher = (recompute: boolean) =>
      new TeacherTrainer({
        ...SMALL,
        network: DIT,
        dataset: { ...dataset, batch: () => ({ x, labels }) },
        recompute,
      });
    expect(teacher(true).configuration).toEqual(teacher(false).configuration);
    expect(await trained(teacher(true))).toEqual(await trained(teacher(false)));
  });
});
