import { describe, expect, test } from 'vitest';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { LoraConfigSchema } from '../../../src/trainer/nn/lora.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { BENCH_CONFIGS } from '../../../src/trainer/run/benchmark.ts';
import { planDistillation } from '../../../src/trainer/run/plan.ts';
import { atResolution, releasedNetwork } from '../../../src/trainer/run/plan-network.ts';
import { smallMmdit } from '../../support/small-mmdit.ts';
import { WIDE_MLP } from '../../support/tiny-models.ts';

const DIT = NetworkConfigSchema.parse(BENCH_CONFIGS['dit-s'].network);
const PLAIN = { network: DIT, batch: 64, updates: 1, tokens: 0 };
const plain = planDistillation(PLAIN);
const MIB = 2 ** 20;

describe('a plan', () => {
  test('counts parameters, and state in six vectors of them besides the teacher', () => {
    const { size } = parameterList(DIT);
    expect(plain.parameters).toBe(size);
    expect(plain.trained).toBe(size);
    expect(plain.bytes.teacher).toBe(4 * size);
    // Student: weights, second moment, average; online flow: weights, second moment; a gradient that they share.
    expect(plain.bytes.state).toBe(6 * 4 * size);
  });

  test('its parts make the peak', () => {
    const { peak, ...parts } = plain.bytes;
    expect(Object.values(parts).reduce((a, b) => a + b)).toBe(peak);
  });

  test('a sample of an MLP is two operations a weight', () => {
    const { flops } = planDistillation({ ...PLAIN, network: WIDE_MLP, batch: 1 });
    const weights = parameterList(WIDE_MLP).specs.filter(({ shape }) => shape.length === 2);
    expect(flops.sample).toBe(2 * weights.reduce((sum, { size }) => sum + size, 0));
  });

  test('an iteration is eleven passes of a network, and four for each more online update', () => {
    const passes = ({ flops }: typeof plain) => flops.iteration / (64 * flops.sample);
    // Gradients of what has no input to go back to are left out, so a little less.
    expect(passes(plain)).toBeGreaterThan(10.5);
    expect(passes(plain)).toBeLessThan(11.2);
    const more = planDistillation({ ...PLAIN, updates: 3 });
    expect(passes(more) - passes(plain)).toBeCloseTo(8, 0);
    expect(more.bytes).toEqual(plain.bytes);
  });

  test('recompute takes four fifths off the activations for less than 35 % more arithmetic', () => {
    const again = planDistillation({ ...PLAIN, recompute: true });
    expect(again.bytes.activations).toBeLessThan(0.25 * plain.bytes.activations);
    expect(again.flops.iteration / plain.flops.iteration).toBeGreaterThan(1.2);
    expect(again.flops.iteration / plain.flops.iteration).toBeLessThan(1.35);
    expect(again.bytes.state).toBe(plain.bytes.state);
  });

  test('LoRA of rank 16 needs less than a quarter of the state', () => {
    const lora = LoraConfigSchema.parse({ rank: 16, alpha: 16 });
    const { bytes, trained } = planDistillation({ ...PLAIN, lora });
    // Six adapted layers a block: qkv, proj, fc1, fc2 of width 256.
    expect(trained).toBe(6 * 16 * (256 + 768 + 256 + 256 + 256 + 1024 + 1024 + 256));
    expect(bytes.teacher + bytes.state).toBeLessThan(
      0.25 * (plain.bytes.teacher + plain.bytes.state),
    );
  });

  test('of a network of text: longer texts and guidance take more', () => {
    const options = { network: smallMmdit(), batch: 2, updates: 1, tokens: 8 };
    const base = planDistillation(options);
    const long = planDistillation({ ...options, tokens: 64 });
    const guided = planDistillation({ ...options, guided: true });
    expect(long.flops.sample).toBeGreaterThan(base.flops.sample);
    expect(long.bytes.activations).toBeGreaterThan(base.bytes.activations);
    expect(guided.flops.iteration).toBeGreaterThan(1.1 * base.flops.iteration);
    expect(guided.flops.sample).toBe(base.flops.sample);
  });

  test('allocates nothing of the size of the weights', () => {
    const before = process.memoryUsage().arrayBuffers;
    const network = NetworkConfigSchema.parse({ ...DIT, width: 2048, heads: 16, depth: 4 });
    const { bytes } = planDistillation({ ...PLAIN, network, batch: 1 });
    expect(bytes.teacher).toBeGreaterThan(1000 * MIB);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * MIB);
  });
});

describe('released networks', () => {
  // Of the released files: tensors of the network, with the position table.
  test.each([
    ['sd3-medium', 2.0e9, 2.1e9],
    ['sd3.5-medium', 2.4e9, 2.5e9],
    ['sd3.5-large', 8.0e9, 8.2e9],
    ['edm-cifar', 55.5e6, 56.5e6],
  ])('%s has about as many parameters as its file', (name, least, most) => {
    const { size } = parameterList(releasedNetwork(name)!);
    expect(size).toBeGreaterThan(least);
    expect(size).toBeLessThan(most);
  });

  test('take a resolution in pixels', () => {
    const sd3 = releasedNetwork('sd3-medium')!;
    expect(atResolution(sd3, 512)).toMatchObject({ height: 64, width: 64 });
    const edm = releasedNetwork('edm-cifar')!;
    expect(atResolution(edm, 64)).toMatchObject({ size: 64 });
    expect(() => atResolution(sd3, 516)).toThrow(
      expect.objectContaining({ code: 'VALUE_OUT_OF_RANGE' }),
    );
    expect(() => atResolution(DIT, 64)).toThrow('its size is part of it');
  });
});
