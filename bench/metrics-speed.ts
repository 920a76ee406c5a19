/**
 * @file `npm run verify:metrics`: seconds and memory of FID, and seconds of the other metrics, on random features.
 *
 *     npm run verify:metrics -- [--samples 50000] [--dim 2048] [--threads N] [--save]
 *
 * Each metric is measured in a process of its own, from two files to the number. FID takes all samples, the others
 * at most 10,000, as the neighbours' time grows with their square.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SafetensorsFile, writeSafetensors } from '../src/trainer/files/safetensors.ts';
import { featuresOfFile } from '../src/trainer/metrics/feature-source.ts';
import { type Metric, scoreFeatures } from '../src/trainer/metrics/score-features.ts';
import { fillNormalAsync } from '../src/trainer/random/philox.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { float32 } from '../src/trainer/tensor.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '50000' },
    dim: { type: 'string', default: '2048' },
    threads: { type: 'string' },
    save: { type: 'boolean', default: false },
    /** What the processes started from here are given: metrics, and the two files. */
    measure: { type: 'string' },
    files: { type: 'string' },
  },
});
const BOUNDS = { seconds: 60, peakMib: 1536 };
const OTHERS_SAMPLES = 10_000;
/** Streams that no training uses. */
const STREAM = 900;

if (values.threads) engine({ threads: Number(values.threads) });
if (values.measure !== undefined && values.files !== undefined) {
  await measure(values.measure.split(',') as Metric[], values.files.split(','));
} else {
  await verify(Number(values.samples), Number(values.dim));
}

async function measure(metrics: readonly Metric[], [a, b]: readonly string[]): Promise<void> {
  const start = performance.now();
  await using realFile = await SafetensorsFile.open(a!);
  await using fakeFile = await SafetensorsFile.open(b!);
  const real = featuresOfFile(realFile, 'features');
  const fake = featuresOfFile(fakeFile, 'features');
  const { scores } = await scoreFeatures({
    real,
    fake,
    extractor: 'random',
    metrics,
    neighbours: 3,
    seed: 0,
  });
  const cpu = process.cpuUsage();
  console.log(
    JSON.stringify({
      samples: real.count,
      dim: real.dim,
      seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
      cpuSeconds: Number(((cpu.user + cpu.system) / 1e6).toFixed(1)),
      peakMib: Math.round(process.resourceUsage().maxRSS / 1024),
      threads: engine().threads,
      scores: Object.fromEntries(scores.map(({ metric, value }) => [metric, value])),
    }),
  );
}

async function verify(samples: number, dim: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flowstep-metrics-'));
  try {
    const cases = [
      { metrics: 'fid', count: samples },
      { metrics: 'kid', count: Math.min(samples, OTHERS_SAMPLES) },
      {
        metrics: 'precision,recall,density,coverage',
        count: Math.min(samples, OTHERS_SAMPLES),
      },
    ];
    for (const { metrics, count } of cases) {
      const files = [join(folder, 'real.safetensors'), join(folder, 'fake.safetensors')];
      for (const [i, file] of files.entries()) await writeFeatures(file, count, dim, i);
      const result = measured(metrics, files);
      const isBound = metrics === 'fid';
      const isMet = result.seconds <= BOUNDS.seconds && result.peakMib <= BOUNDS.peakMib;
      const entry = isBound ? { ...result, bounds: BOUNDS, passed: isMet } : result;
      console.log(metrics, JSON.stringify(entry));
      if (values.save) await mergeResults('metrics-speed', `${metrics}:${count}x${dim}`, entry);
      if (isBound && !isMet) process.exitCode = 1;
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function measured(metrics: string, files: readonly string[]) {
  const args = ['--import', 'tsx', fileURLToPath(import.meta.url)];
  args.push('--measure', metrics, '--files', files.join());
  if (values.threads) args.push('--threads', values.threads);
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${metrics}: ${stderr}`);
  return JSON.parse(stdout) as { seconds: number; peakMib: number };
}

/** Correlated features with falling deviations, as pooled activations have; the second set is a little wider. */
async function writeFeatures(path: string, count: number, dim: number, set: number): Promise<void> {
  const data = new Float32Array(count * dim);
  await fillNormalAsync(data, set, STREAM, 0);
  for (let row = 0; row < data.length; row += dim) {
    let before = 0;
    for (let j = 0; j < dim; j++) {
      before = 0.6 * before + data[row + j]!;
      data[row + j] = 0.4 + ((1 + 0.1 * set) * before) / (1 + j) ** 0.5;
    }
  }
  await writeSafetensors(path, new Map([['features', float32(data, [count, dim])]]));
}
