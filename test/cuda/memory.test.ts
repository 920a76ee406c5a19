/** The card's memory: what lies in it, and what happens when it is not enough. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Graph } from '../../src/trainer/graph/graph.ts';
import { pad } from '../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import { benchDistiller, benchTeacher } from '../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../src/trainer/run/benchmark.ts';
import { DeviceTensors } from '../../src/trainer/runtime/device-tensors.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { whole } from '../../src/trainer/runtime/whole.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { Card, NO_CUDA } from './card.ts';

const GIB = 2 ** 30;
const ALL = 80 * GIB;

describe.skipIf(NO_CUDA)('on the card', () => {
  let card: Card;

  beforeAll(() => {
    engine({ device: 'cuda', cpuFallback: false });
    card = new Card();
  });

  afterEach(() => card.setMemory(ALL));

  const counting = (size: number, from: number) =>
    Float32Array.from({ length: size }, (_, i) => from + i);

  test.each([
    { name: 'small tensors', sizes: [3, 64, 1, 200] },
    { name: 'more than is copied at once', sizes: [7, (1 << 24) + 5, 70] },
    { name: 'one tensor', sizes: [5] },
  ])('$name come back as they were brought', async ({ sizes }) => {
    const before = engine().liveTensors;
    const host = sizes.map((size, i) => float32(counting(size, 1000 * i), [size]));
    const expected = host.map(({ data }) => data.slice());
    {
      using placed = new DeviceTensors(host);
      await placed.upload();
      for (const { data } of host) data.fill(-1);
      await placed.download();
      expect(host.every(({ data }, i) => data.every((x, k) => x === expected[i]![k]))).toBe(true);
    }
    expect(engine().liveTensors).toBe(before);
  });

  test('tensors lie in one vector, each at a multiple of 256 bytes, with zeros between them', async () => {
    const host = [counting(3, 1), counting(65, 10)].map((data) => float32(data, [data.length]));
    using placed = new DeviceTensors(host);
    const { length } = placed.vector!;
    expect(length).toBe(64 + 128);
    const all = new Float32Array(length).fill(7);
    using whole = new DeviceTensors([float32(all, [length])]);
    await whole.upload();
    await placed.upload();
    const { memory } = engine();
    await memory!.copy(
      { dtype: 'float32', shape: [length] },
      placed.vector!.part(0, length).place,
      whole.tensors[0]!.place,
    );
    await whole.download();
    const expected = new Float32Array(length);
    expected.set(host[0]!.data, 0);
    expected.set(host[1]!.data, 64);
    expect(all).toEqual(expected);
  });

  const network = NetworkConfigSchema.parse(BENCH_CONFIGS['dit-xs'].network);
  const made = (batch: number) => whole(() => benchDistiller(benchTeacher(network), batch));

  test('training that has not enough of it says so, gives back what it took, and the next one runs', async () => {
    const first = made(2);
    await first.step(0);
    const { bytes: inUse } = card.asked();
    first.dispose();
    const left = () => card.asked().bytes;
    await expect.poll(left).toBeLessThan(inUse / 2);
    const bytes = left();
    const before = engine().liveTensors;
    for (const more of [0.25, 2, 8]) {
      card.setMemory(bytes + more * 2 ** 20);
      const attempt = async () => {
        const distiller = made(512);
        try {
          await distiller.step(0);
        } finally {
          distiller.dispose();
        }
      };
      await expect(attempt()).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
      expect(engine().liveTensors).toBe(before);
      await expect.poll(left).toBeLessThan(bytes + 2 ** 20);
    }
    card.setMemory(ALL);
    const again = made(512);
    await again.step(0);
    expect(left()).toBeGreaterThan(bytes + 100 * 2 ** 20);
    again.dispose();
    await expect.poll(left).toBeLessThan(bytes + 2 ** 20);
  });

  test('an operator that the card has no kernel for is refused', () => {
    const low = new Graph();
    low.output('y', pad(low.input('x', [2, 2], 'bfloat16'), [0, 1, 0, 1]));
    expect(() => new Program(low, { name: 'pad' })).toThrow(/bfloat16/);
  });
});
