import { describe, expect, test } from 'vitest';
import { DivergenceWatch } from '../../../src/trainer/run/divergence.ts';

/** The step at which a run with these losses is stopped. */
function stoppedAt(loss: (step: number) => number, steps: number, sampleSize = 2) {
  const watch = new DivergenceWatch(sampleSize);
  for (let step = 1; step <= steps; step++) if (watch.check(loss(step))) return step;
  return undefined;
}

describe('a run is stopped', () => {
  test('when its loss grows without bound', () => {
    expect(stoppedAt((k) => 3 * 1.01 ** k, 2000)).toBeLessThan(600);
  });

  test('when it jumps and stays: after about a hundred steps', () => {
    const step = stoppedAt((k) => (k < 500 ? 3 : 60), 2000)!;
    expect(step).toBeGreaterThan(510);
    expect(step).toBeLessThan(700);
  });
});

describe('a run goes on', () => {
  test.each([
    ['a steady loss', () => 3],
    ['a single outlier', (k: number) => (k === 700 ? 900 : 3)],
    [
      'a loss that begins near 0 and rises to what noise alone costs',
      (k: number) => 0.01 + 2 * Math.min(k / 1000, 1),
    ],
    ['a wild beginning', (k: number) => (k < 50 ? 1000 : 3)],
  ])('with %s', (_title, loss) => {
    expect(stoppedAt(loss, 3000)).toBeUndefined();
  });
});

test('a watch that is restored stops where the first would', () => {
  const loss = (k: number) => 3 * 1.005 ** k;
  const whole = stoppedAt(loss, 3000)!;
  const first = new DivergenceWatch(2);
  for (let k = 1; k <= 300; k++) first.check(loss(k));
  const second = new DivergenceWatch(2);
  second.restore(JSON.parse(JSON.stringify(first.state)));
  let k = 300;
  while (!second.check(loss(++k))) expect(k).toBeLessThan(3000);
  expect(k).toBe(whole);
});
