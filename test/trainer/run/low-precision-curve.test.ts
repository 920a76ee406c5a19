/** The first steps of a distillation with every result of 16 bits rounded, beside those in float32. */
import { afterAll, expect, test } from 'vitest';
import { difference } from '../../../bench/curves.ts';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { firstSteps } from '../../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../../src/trainer/run/benchmark.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { roundTo } from '../../support/sixteen-bits.ts';

/** Shares of a curve's largest value; state in 16 bits would be seen. */
const TOLERANCES = { 'loss/online': 1e-4, 'loss/student': 0.01, 'norm/student': 0.005 };

const on = engine();
const exact = on.formOf;
afterAll(() => {
  on.formOf = exact;
});

test('losses and gradients of 20 steps in bfloat16 are those in float32 to 1 %', async () => {
  const network = NetworkConfigSchema.parse(BENCH_CONFIGS['dit-xs'].network);
  const right = await firstSteps(network, 4, 20);
  roundTo('bfloat16', on);
  const found = await firstSteps(network, 4, 20);
  for (const [name, tolerance] of Object.entries(TOLERANCES)) {
    const curve = (steps: typeof right) => steps.map((metrics) => metrics[name]!);
    const gap = difference(curve(found), curve(right));
    expect(gap, name).toBeLessThan(tolerance);
    expect(gap, name).toBeGreaterThan(0);
  }
});
