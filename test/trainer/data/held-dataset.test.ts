import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { type Held, heldDataset, requireFits } from '../../../src/trainer/data/held-dataset.ts';

/** Three pictures [2, 1, 3], all bytes different. */
const held: Held = {
  name: 'three',
  shape: [2, 1, 3],
  samples: Uint8Array.from({ length: 18 }, (_, i) => 15 * i),
  labels: [7, 0, 3],
  classes: 8,
  hash: 'h',
  flip: false,
};

/** The bytes of each sample of a batch, as text. */
function rows(set: Dataset, seed: number, step: number, count: number): string[] {
  const { x } = set.batch(seed, step, count);
  return Array.from({ length: count }, (_, i) =>
    [...x.subarray(6 * i, 6 * i + 6)].map((v) => Math.round((v + 1) * 127.5)).join(),
  );
}

const PLAIN = ['0,15,30,45,60,75', '90,105,120,135,150,165', '180,195,210,225,240,255'];
const MIRRORED = ['30,15,0,75,60,45', '120,105,90,165,150,135', '210,195,180,255,240,225'];

describe('a data set in memory', () => {
  test('draws every sample, with its own label', () => {
    const set = heldDataset(held);
    const drawn = rows(set, 1, 0, 200);
    const { labels } = set.batch(1, 0, 200);
    expect(new Set(drawn)).toEqual(new Set(PLAIN));
    for (const [i, row] of drawn.entries()) expect(labels![i]).toBe([7, 0, 3][PLAIN.indexOf(row)]);
  });

  test('bytes are -1 to 1, floats are themselves', () => {
    const bytes = heldDataset({ ...held, shape: [2], samples: Uint8Array.of(0, 255) });
    expect([...bytes.batch(0, 0, 1).x]).toEqual([-1, 1]);
    const floats = heldDataset({ ...held, shape: [2], samples: Float32Array.of(-3.5, 17) });
    expect([...floats.batch(0, 0, 1).x]).toEqual([-3.5, 17]);
  });

  test('flipping mirrors about half of the samples along their last axis, each drawn by itself', () => {
    const set = heldDataset({ ...held, flip: true });
    const plain = rows(heldDataset(held), 1, 5, 1000);
    const drawn = rows(set, 1, 5, 1000);
    let mirrored = 0;
    for (const [i, row] of drawn.entries()) {
      const which = PLAIN.indexOf(plain[i]!);
      expect([PLAIN[which], MIRRORED[which]]).toContain(row);
      if (row === MIRRORED[which]) mirrored++;
    }
    // Four standard deviations of 1000 fair coins.
    expect(Math.abs(mirrored - 500)).toBeLessThan(64);
  });

  test('flips are a function of seed and step', () => {
    // One sample, so that nothing but the flips differs.
    const set = heldDataset({ ...held, samples: held.samples.subarray(0, 6), flip: true });
    const drawn = rows(set, 1, 5, 100);
    expect(rows(set, 1, 5, 100)).toEqual(drawn);
    expect(rows(set, 1, 6, 100)).not.toEqual(drawn);
    expect(rows(set, 2, 5, 100)).not.toEqual(drawn);
  });

  test('flipping leaves labels and the order of samples, and begins as a smaller batch does', () => {
    const set = heldDataset({ ...held, flip: true });
    expect(set.batch(4, 9, 50).labels).toEqual(heldDataset(held).batch(4, 9, 50).labels);
    expect(set.batch(4, 9, 20).x).toEqual(set.batch(4, 9, 50).x.subarray(0, 120));
  });

  test('flipping never writes into the samples', () => {
    const samples = Float32Array.from({ length: 18 }, (_, i) => i);
    heldDataset({ ...held, samples, flip: true }).batch(1, 0, 100);
    expect(samples).toEqual(Float32Array.from({ length: 18 }, (_, i) => i));
  });

  test('the flipped set has another hash', () => {
    expect(heldDataset(held).hash).toBe('h');
    expect(heldDataset({ ...held, flip: true }).hash).toMatch(/^[0-9a-f]{64}$/);
  });
});

test('a set beyond the limit of memory is refused with what to lower', () => {
  expect(() => requireFits('big', 2 ** 20, [1, 64, 64], 1)).not.toThrow();
  expect(() => requireFits('big', 2 ** 20 + 1, [1, 64, 64], 1)).toThrow(
    expect.objectContaining({
      code: 'DATASET_INVALID',
      message: expect.stringContaining('4.0 GiB'),
      hint: expect.stringContaining('smaller pictures'),
    }),
  );
});
