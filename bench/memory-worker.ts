/**
 * @file One distillation as a process of its own: its peak memory and the time of a step, as one JSON object.
 *
 *     npx tsx bench/memory-worker.ts CONFIG BATCH RECOMPUTE STEPS THREADS
 */

import { parameterList } from '../src/trainer/nn/network.ts';
import { initialise } from '../src/trainer/nn/parameters.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { studentSettings } from '../src/trainer/run/model.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { isMemoryConfig, memoryNetwork } from './memory-configs.ts';

const [config = '', batch, recompute, steps, threads] = process.argv.slice(2);
if (!isMemoryConfig(config)) throw new Error(`no configuration ${config}`);
engine({ threads: Number(threads) });
const network = memoryNetwork(config);
const density = { kind: 'uniform', min: 0.02, max: 0.98 } as const;

const base = process.memoryUsage.rss();
const parameters = initialise(parameterList(network), 0);
const dataset = { name: 'noise', hash: '' };
const distiller = new Distiller({
  teacher: { info: { role: 'teacher', network, dataset, training: {} }, parameters },
  online: { init: 'teacher', updates: 1, learningRate: 1e-4, density },
  steps: Number(steps),
  batch: Number(batch),
  learningRate: 1e-4,
  warmup: 0,
  schedule: 'constant',
  lambda1: 1,
  weight: 'velocity',
  student: studentSettings({ tStar: 0.97, cIn: 0.97 }),
  emaDecay: 0.999,
  clipNorm: 0,
  clipValue: 0,
  density,
  seed: 0,
  recompute: recompute === 'true',
});
const cpu: number[] = [];
let loss: number | undefined;
for (let step = 0; step < Number(steps); step++) {
  const before = process.cpuUsage();
  loss = (await distiller.step(step)).metrics['loss/student'];
  const { user, system } = process.cpuUsage(before);
  cpu.push((user + system) / 1000);
}
distiller.dispose();
// The first step also takes memory from the system.
const later = cpu.slice(1).sort((a, b) => a - b);
console.log(
  JSON.stringify({
    baseBytes: base,
    // Linux counts in KiB.
    peakBytes: process.resourceUsage().maxRSS * 1024 - base,
    cpuMs: later.length ? Math.round(later[later.length >> 1]!) : undefined,
    loss,
  }),
);
