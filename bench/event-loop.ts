/**
 * @file `npm run verify:event-loop`: how late the event loop turns while a network trains, beside an idle control.
 *
 * A timer of 1 ms is watched for a while without work, then during FGM iterations of dit-s and of mlp-2d.
 */
import { cpus } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { NetworkConfigSchema } from '../src/trainer/nn/config.ts';
import { parameterList } from '../src/trainer/nn/network.ts';
import { initialise } from '../src/trainer/nn/parameters.ts';
import { BENCH_CONFIGS, type BenchConfig } from '../src/trainer/run/benchmark.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { studentSettings } from '../src/trainer/run/model.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    save: { type: 'boolean', default: false },
  },
});
const SECONDS = Number(values.seconds);
const BOUNDS = { p999_ms: 20, max_ms: 100 };

async function delays(work: () => Promise<unknown>) {
  // The first turns belong to starting up.
  await work();
  const monitor = monitorEventLoopDelay({ resolution: 1 });
  monitor.enable();
  const end = performance.now() + SECONDS * 1000;
  while (performance.now() < end) await work();
  monitor.disable();
  const ms = (ns: number) => Number((ns / 1e6).toFixed(2));
  return {
    p50_ms: ms(monitor.percentile(50)),
    p99_ms: ms(monitor.percentile(99)),
    p999_ms: ms(monitor.percentile(99.9)),
    max_ms: ms(monitor.max),
  };
}

function distiller(config: BenchConfig): Distiller {
  const { network: fields, batch } = BENCH_CONFIGS[config];
  const network = NetworkConfigSchema.parse(fields);
  const density = { kind: 'uniform', min: 0.02, max: 0.98 } as const;
  return new Distiller({
    teacher: {
      info: { role: 'teacher', network, dataset: { name: 'none', hash: '' }, training: {} },
      parameters: initialise(parameterList(network), 0),
    },
    online: { init: 'teacher', updates: 1, learningRate: 1e-4, density },
    steps: 1_000_000,
    batch,
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
  });
}

const results: Record<string, Awaited<ReturnType<typeof delays>>> = {
  idle: await delays(() => sleep(10)),
};
for (const config of ['mlp-2d', 'dit-s'] as const) {
  const training = distiller(config);
  let step = 0;
  results[config] = await delays(() => training.step(step++));
  training.dispose();
}
console.table(results);
const isMet = ['mlp-2d', 'dit-s'].every((name) => {
  const { p999_ms, max_ms } = results[name]!;
  return p999_ms <= BOUNDS.p999_ms && max_ms <= BOUNDS.max_ms;
});
if (values.save) {
  await mergeResults('event-loop', 'fgm', {
    ...results,
    bounds: BOUNDS,
    passed: isMet,
    seconds: SECONDS,
    machine: cpus()[0]?.model ?? 'unknown',
    date: new Date().toISOString().slice(0, 10),
  });
}
process.exitCode = isMet ? 0 : 1;
