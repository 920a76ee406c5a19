/** What training asks a card for: every operator on it, one thread, nothing of the host while a program runs. */
import { describe, expect, test } from 'vitest';
import { type LaunchTask, launches, NO_CUDA } from './card.ts';

const STEPS = 3;

const CASES: readonly Omit<LaunchTask, 'graphs' | 'steps'>[] = [
  { config: 'mlp-2d', precision: 'bf16' },
  { config: 'dit-xs', precision: 'fp32' },
  { config: 'dit-xs', precision: 'tf32' },
  { config: 'dit-xs', precision: 'bf16' },
  { config: 'dit-xs', precision: 'fp16' },
  { config: 'unet-xs', precision: 'fp32' },
  { config: 'unet-xs', precision: 'bf16' },
  { config: 'unet-xs', precision: 'fp16' },
  { config: 'mmdit-s', precision: 'fp32', batch: 2 },
  { config: 'mmdit-s', precision: 'bf16', batch: 2 },
];

describe.skipIf(NO_CUDA)('a distillation', () => {
  test.each(CASES)('of $config in $precision runs on the card alone', async (task) => {
    const { programs, threads } = await launches({ ...task, graphs: false, steps: STEPS });
    expect(Object.keys(programs).toSorted()).toEqual([
      ...['online gradient', 'online update', 'student gradient', 'student update'],
    ]);
    for (const { kernels, copiesOfHost, replays } of Object.values(programs)) {
      expect(kernels).toBeGreaterThan(10);
      expect([copiesOfHost, replays]).toEqual([0, 0]);
    }
    // The provider keeps its handles, which take memory of the card, for each thread.
    expect(threads).toBe(1);
  });

  test.each(CASES)('of $config in $precision is recorded once, and replayed', async (task) => {
    const { programs, recorded, threads } = await launches({ ...task, graphs: true, steps: STEPS });
    expect(recorded).toEqual({ times: Object.keys(programs).length, copiesOfHost: 0 });
    for (const { hostMs: _, ...counts } of Object.values(programs)) {
      expect(counts).toEqual({
        kernels: 0,
        products: 0,
        byCudnn: 0,
        copiesOnCard: 0,
        copiesOfHost: 0,
        replays: 1,
      });
    }
    expect(threads).toBe(1);
  });

  test('has one working memory for its programs, but for recorded ones', async () => {
    const of = async (graphs: boolean) =>
      (await launches({ config: 'dit-s', precision: 'bf16', batch: 8, graphs, steps: 1 }))
        .mostBytes;
    expect(await of(false)).toBeLessThan(0.8 * (await of(true)));
  });
});
