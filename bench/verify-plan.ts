/**
 * @file `npm run verify:plan`: `flowstep plan` against the memory that distillations really take.
 *
 * Compared are the planned peak without the process itself, and the largest resident memory of a process that distils
 * two steps less what it had before the first weight. Bound: 15 % of the measured.
 */
import { planDistillation } from '../src/trainer/run/plan.ts';
import { isMemoryConfig, MEMORY_CONFIGS, measured, memoryNetwork } from './memory-configs.ts';
import { mergeResults } from './results.ts';

const BOUND = 0.15;
const MIB = 2 ** 20;

let failed = 0;
for (const config of Object.keys(MEMORY_CONFIGS).filter(isMemoryConfig)) {
  for (const recompute of [false, true]) {
    const { bytes, flops } = planDistillation({
      network: memoryNetwork(config),
      batch: MEMORY_CONFIGS[config].batch,
      updates: 1,
      tokens: 0,
      recompute,
    });
    const { peakBytes, baseBytes } = await measured(config, { recompute, steps: 2, threads: 2 });
    const planned = bytes.peak - bytes.process;
    const error = planned / peakBytes - 1;
    const isWithin = Math.abs(error) <= BOUND;
    if (!isWithin) failed++;
    const mib = (n: number) => Math.round(n / MIB);
    const parts = Object.entries(bytes).map(([name, n]) => [name, mib(n)]);
    const result = {
      config,
      batch: MEMORY_CONFIGS[config].batch,
      recompute,
      plannedMib: mib(planned),
      measuredMib: mib(peakBytes),
      error: Number(error.toFixed(3)),
      bound: BOUND,
      passed: isWithin,
      parts: Object.fromEntries(parts),
      baseMib: mib(baseBytes),
      teraFlopsPerIteration: Number((flops.iteration / 1e12).toFixed(3)),
    };
    console.log(JSON.stringify(result));
    await mergeResults('verify-plan', recompute ? `${config} recompute` : config, result);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
