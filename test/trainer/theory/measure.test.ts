/** The measurement of the theory, at reduced size: it confirms what is right and finds what is wrong. */
import { describe, expect, test } from 'vitest';
import { perSample } from '../../../src/trainer/flow/path.ts';
import { mul, reduceSum, square, sub } from '../../../src/trainer/graph/ops.ts';
import { fgmLoss } from '../../../src/trainer/methods/fgm.ts';
import { directionsAbout, dot, norm } from '../../../src/trainer/theory/directions.ts';
import { type Effort, measure } from '../../../src/trainer/theory/measure.ts';
import { onlineGaps } from '../../../src/trainer/theory/online-gap.ts';
import type { Loss } from '../../../src/trainer/theory/programs.ts';
import { NETWORKS, type SettingName, settingOf } from '../../../src/trainer/theory/settings.ts';

const LATENTS = 256;

const EFFORTS: Record<SettingName, Effort> = {
  gaussian: { batch: 512, points: 2048, replicates: [8, 8], directions: 2 },
  mixture: { batch: 512, points: 8192, replicates: [8, 8], directions: 1 },
  mlp: { batch: 256, points: 4096, replicates: [6, 6], directions: 1 },
  dit: { batch: 256, points: 1024, replicates: [4, 4], directions: 1 },
};

async function measured(name: SettingName, loss?: Loss) {
  const setting = settingOf(name, 0, LATENTS);
  const { rows } = await measure(setting, {
    effort: EFFORTS[name],
    seed: 0,
    ...(loss && { loss }),
  });
  return rows;
}

/** Losses that look like L1 + L2 and are not. */
const WRONG: Readonly<Record<string, Loss>> = {
  'L2 without its factor 2': ({ u, v, c, weight }) => ({
    loss: mul(fgmLoss(u, v, c, 2, weight).loss, 0.5),
  }),
  'no gradient through c': ({ u, v, c, weight }) => ({
    loss: fgmLoss(u, v, c, 1, weight).loss,
    held: [c],
  }),
  'no gradient through the online flow as a function of xt': ({ u, v, c, weight }) => ({
    loss: fgmLoss(u, v, c, 1, weight).loss,
    held: [v],
  }),
  'L1 alone': ({ u, v, weight }) => ({
    loss: mul(reduceSum(mul(square(sub(u, v)), perSample(weight, u))), 1 / u.shape[0]!),
  }),
  'L2 alone': ({ u, v, c, weight }) => ({ loss: fgmLoss(u, v, c, 0, weight).loss }),
};

describe.each(Object.keys(EFFORTS) as SettingName[])('%s', (name) => {
  test('the identity and the equality of the gradients hold', async () => {
    const rows = await measured(name);
    expect(rows.map(({ what }) => what)).toEqual([
      'E u.v = E u.c',
      'E v.v = E v.c',
      ...Array.from({ length: EFFORTS[name].directions }, (_, k) => `gradient, direction ${k + 1}`),
    ]);
    for (const { what, gap, margin } of rows) {
      expect(Math.abs(gap), `${what}: ${gap} +- ${margin}`).toBeLessThan(3 * margin + 1e-6);
      expect(margin, what).toBeLessThan(0.05);
    }
  });
});

describe('a wrong loss is found', () => {
  test.each(Object.keys(WRONG))('%s', async (wrong) => {
    const rows = await measured('gaussian', WRONG[wrong]);
    const verdicts = rows.map(({ verdict }) => verdict);
    // The identity does not depend on the loss.
    expect(verdicts).toEqual(['holds', 'holds', 'broken', 'broken']);
  });

  test.each(['mixture', 'mlp', 'dit'] as const)('in the setting %s', async (name) => {
    const rows = await measured(name, WRONG['L2 without its factor 2']);
    expect(rows.at(-1)!.verdict).toBe('broken');
  });
});

test('the sampled derivative of the objective agrees with the closed form', async () => {
  const { objective, ...sampled } = settingOf('gaussian', 0);
  const effort = { ...EFFORTS.gaussian, directions: 2 };
  const [exact, found] = await Promise.all(
    [{ ...sampled, objective: objective! }, sampled].map((setting) =>
      measure(setting, { effort, seed: 0 }),
    ),
  );
  for (const row of [2, 3]) {
    const [a, b] = [exact!.rows[row]!.expected, found!.rows[row]!.expected];
    expect(Math.abs(b / a - 1)).toBeLessThan(0.003);
    expect(b).not.toBe(a);
  }
});

test('replicates are added until the intervals are narrow', async () => {
  const few = { batch: 512, points: 512, directions: 1 };
  const points = async (replicates: [number, number]) =>
    (await measure(settingOf('gaussian', 0), { effort: { ...few, replicates }, seed: 0 })).points;
  expect(await points([3, 4])).toBe(4 * 512);
  const enough = await points([3, 5000]);
  expect(enough).toBeGreaterThan(4 * 512);
  expect(enough).toBeLessThan(5000 * 512);
});

test('directions have length 1 and a fixed cosine with the gradient', () => {
  const gradient = Float64Array.from({ length: 400 }, (_, i) => Math.sin(i) - 0.2);
  const [a, b] = directionsAbout(gradient, 2, 5) as [Float64Array, Float64Array];
  for (const direction of [a, b]) {
    expect(norm(direction)).toBeCloseTo(1, 12);
    expect(dot(direction, gradient) / norm(gradient)).toBeCloseTo(0.3, 12);
  }
  expect(Math.abs(dot(a, b))).toBeLessThan(0.3);
});

test('a learned online flow brings the gradient near the exact one', async () => {
  const gaps = await onlineGaps({
    setting: settingOf('mlp', 0, LATENTS),
    config: NETWORKS.mlp,
    steps: [0, 5, 400],
    effort: { batch: 256, points: 1024 },
    seed: 0,
  });
  // It starts as the teacher, with which both losses vanish.
  expect(gaps[0]).toEqual({ steps: 0, gap: 1, cosine: 0 });
  expect(gaps[2]!.gap).toBeLessThan(0.15);
  expect(gaps[2]!.gap).toBeLessThan(gaps[1]!.gap / 2);
  expect(gaps[2]!.cosine).toBeGreaterThan(0.98);
});

test('an aborted measurement stops', async () => {
  const signal = AbortSignal.abort();
  const run = measure(settingOf('gaussian', 0), { effort: EFFORTS.gaussian, seed: 0, signal });
  await expect(run).rejects.toMatchObject({ code: 'INTERRUPTED' });
});
