/** What sampling brings to a card. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NetworkConfigSchema, sampleShape } from '../../src/trainer/nn/config.ts';
import { benchTeacher } from '../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../src/trainer/run/benchmark.ts';
import { Sampler } from '../../src/trainer/run/sample.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { noiseOf } from '../support/tiny-models.ts';
import { Card, NO_CUDA, sumOf } from './card.ts';

describe.skipIf(NO_CUDA)('a sampler', () => {
  const model = benchTeacher(NetworkConfigSchema.parse(BENCH_CONFIGS['dit-xs'].network));
  const noise = noiseOf([2, ...sampleShape(model.info.network)]);
  let card: Card;
  let sampler: Sampler;

  beforeAll(() => {
    engine({ device: 'cuda', cpuFallback: false });
    card = new Card();
    sampler = new Sampler(model, 'euler', 2);
  });

  afterAll(() => sampler.dispose());

  /** Copies to the card in a run of three steps. */
  async function copies(): Promise<number> {
    card.reset();
    await sampler.run({ solver: 'euler', steps: 3, noise });
    return sumOf(card.asked(), 'copy up', 'copy and wait up');
  }

  test('brings weights once, and again when they have changed', async () => {
    const first = await copies();
    // The points, and the times of each step.
    expect(await copies()).toBe(4);
    expect(first).toBe(5);
    sampler.changed();
    expect(await copies()).toBe(5);
  });
});
