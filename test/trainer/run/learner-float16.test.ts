/** Updates in float16 whose gradient overflows: they change nothing, and are not counted by what follows. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { Learner } from '../../../src/trainer/run/learner.ts';
import { Pacer } from '../../../src/trainer/run/pacer.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';

engine({ threads: 1, precision: 'float16' });

const SIZE = 5;
const list = {
  specs: [{ name: 'w', shape: [SIZE], init: { kind: 'zeros' }, offset: 0, size: SIZE }],
  size: SIZE,
} as const;
const pacer = new Pacer();

function learnerOf(beta1: number): Learner {
  const options = { beta1, beta2: 0.99, epsilon: 1e-8, clipNorm: 0, clipValue: 0 };
  const weights = new Float32Array(SIZE);
  const learner = new Learner('test', list, weights, { ...options, ema: true, emaDecay: 0.999 });
  onTestFinished(() => learner.dispose());
  return learner;
}

/** Update `k` of a sequence, at a rate that changes. */
async function update(learner: Learner, k: number): Promise<void> {
  learner.gradient.set(Array.from({ length: SIZE }, (_, i) => Math.sin(3 * i + k)));
  expect(await learner.update(1, 0.01 / k, pacer)).toBeGreaterThan(0);
}

async function overflow(learner: Learner): Promise<void> {
  learner.gradient.fill(Number.POSITIVE_INFINITY);
  expect(await learner.update(1, 0.01, pacer)).toBe(0);
}

const vectorsOf = ({ state }: Learner) => Object.fromEntries(state);

describe.each([0, 0.9])('with beta1 %d', (beta1) => {
  test.each([
    ['at the start', [4]],
    ['at the start and on the way', [3, 0, 2]],
  ])('weights, moments and average after skipped updates %s are as without', async (_, skips) => {
    const [plain, skipping] = [learnerOf(beta1), learnerOf(beta1)];
    for (let k = 1; k <= 6; k++) {
      for (let s = 0; s < (skips[k - 1] ?? 0); s++) await overflow(skipping);
      for (const learner of [plain, skipping]) await update(learner, k);
    }
    expect(vectorsOf(skipping)).toEqual(vectorsOf(plain));
    expect(skipping.updates).toBe(6 + skips.reduce((a, b) => a + b));
  });
});

/** Of torch.optim.Adam in PyTorch 2.15, with the same gradients, behind a GradScaler that has skipped four. */
const WEIGHTS = [-0.0178156, 0.0179827, -0.0180603, 0.0180411, -0.0179127];

test('updates after skipped ones are the first of PyTorch', async () => {
  const learner = learnerOf(0.9);
  for (let s = 0; s < 4; s++) await overflow(learner);
  for (let k = 1; k <= 3; k++) await update(learner, k);
  for (const [i, weight] of WEIGHTS.entries()) {
    expect(learner.weights[i]).toBeCloseTo(weight, 6);
  }
});
