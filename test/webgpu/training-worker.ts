/** @file Distils on the device that is asked for, and prints what came of it as one line of JSON. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { NetworkConfigSchema, sampleShape } from '../../src/trainer/nn/config.ts';
import { benchTrainer } from '../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../src/trainer/run/benchmark.ts';
import type { DistillJob } from '../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../src/trainer/run/distiller.ts';
import { studentSettings } from '../../src/trainer/run/model.ts';
import { sample } from '../../src/trainer/run/sample.ts';
import { train } from '../../src/trainer/run/train.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { smallModel } from '../support/small-networks.ts';
import { noiseOf } from '../support/tiny-models.ts';
import type { StepTimes, Training, TrainingTask } from './gpu.ts';

/** Programs are compiled and recorded, and memory is as large as it gets. */
const WARM = 10;

const task = JSON.parse(process.argv[2]!) as TrainingTask;
const { device, config, classes = 0, steps, rate, capture = true, teaches, resumeIn } = task;
const on = engine({ device, threads: 1, cpuFallback: device === 'cpu', capture });
const { network, batch } = BENCH_CONFIGS[config];
const density = { kind: 'logit-normal', mean: 0, std: 1, min: 0.02, max: 0.98 } as const;
const job: DistillJob = {
  teacher: smallModel(NetworkConfigSchema.parse({ ...network, ...(classes && { classes }) })),
  online: { init: 'teacher', updates: 1, learningRate: rate, density },
  steps,
  batch,
  learningRate: rate,
  warmup: 0,
  schedule: 'constant',
  lambda1: 1,
  weight: 'velocity',
  student: studentSettings({ tStar: 0.97, cIn: 1 }),
  emaDecay: 0.9,
  clipNorm: 0,
  clipValue: 0,
  density,
  seed: 3,
};

const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

function hashOf(vectors: Iterable<Float32Array>): string {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of vectors) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}

/** Milliseconds of the starts of programs in a step, by name: on a device a run ends when its commands are handed over. */
let starts: Record<string, number> = {};
const { run, runSync } = Program.prototype;
Program.prototype.runSync = function timed(this: Program) {
  const start = performance.now();
  runSync.call(this);
  starts[this.name] = performance.now() - start;
};
Program.prototype.run = async function timed(this: Program) {
  const start = performance.now();
  await run.call(this);
  starts[this.name] = performance.now() - start;
};

/** Of a step: what it took, and its programs' starts. */
interface StepTime {
  readonly step: number;
  readonly starts: Readonly<Record<string, number>>;
}

function stepTimes(times: readonly StepTime[]): StepTimes {
  const spread = (all: readonly number[]) => ({
    median: median(all) ?? 0,
    least: all.length > 0 ? Math.min(...all) : 0,
  });
  const names = Object.keys(times[0]?.starts ?? {});
  return {
    startMs: Object.fromEntries(
      names.map((name) => [name, spread(times.map(({ starts: of }) => of[name]!))]),
    ),
    hostMs: spread(times.map(({ starts: of }) => names.reduce((sum, name) => sum + of[name]!, 0))),
    stepMs: median(times.map(({ step }) => step)) ?? 0,
  };
}

/** How long the steps of a teacher's training take. */
async function taught(): Promise<StepTimes> {
  const trainer = benchTrainer(job.teacher.info.network, batch);
  const times: StepTime[] = [];
  for (let step = 0; step < steps; step++) {
    starts = {};
    const start = performance.now();
    await trainer.step(step);
    if (step >= WARM) times.push({ step: performance.now() - start, starts });
  }
  trainer.dispose();
  return stepTimes(times);
}

async function distilled(): Promise<Omit<Training, 'teacher' | 'teaching'>> {
  const distiller = new Distiller(job);
  const curve: Readonly<Record<string, number>>[] = [];
  const times: StepTime[] = [];
  const seen = () => [process.memoryUsage.rss(), on.liveTensors] as const;
  let warm = seen();
  for (let step = 0; step < steps; step++) {
    starts = {};
    const start = performance.now();
    const { metrics } = await distiller.step(step);
    if (step >= WARM) times.push({ step: performance.now() - start, starts });
    else warm = seen();
    curve.push(metrics);
  }
  const end = seen();
  await distiller.download();
  const state = hashOf(distiller.state.values());
  const samples = Array.from((await distiller.samples()).data);
  distiller.dispose();
  return {
    curve,
    samples,
    state,
    residentBytes: [warm[0], end[0]],
    handles: [warm[1], end[1], on.liveTensors],
    ...stepTimes(times),
  };
}

/** Samples of the teacher, whose weights are the same on every device. */
async function teacherSamples(): Promise<number[]> {
  const { network: form } = job.teacher.info;
  const noise = noiseOf([3, ...sampleShape(form)]);
  const labels = classes > 0 ? { labels: Int32Array.of(0, -1, 1) } : {};
  const request = { solver: 'heun', steps: 4, noise, ...labels } as const;
  return Array.from((await sample(job.teacher, request)).data);
}

/** What a run in a folder leads to; stopped at a step and resumed, when one is given. */
async function modelsOf(folder: string, stopAt?: number): Promise<string> {
  const stop = new AbortController();
  const run = train(
    new Distiller(job),
    steps,
    { folder, resume: 'auto', checkpointEvery: 0, keepCheckpoints: 1, sampleEvery: 0 },
    stop.signal,
  );
  for (;;) {
    const { done, value } = await run.next();
    if (done) {
      if (value.outcome.kind === 'interrupted') return modelsOf(folder);
      return hashOf(Object.values(value.models).map(({ parameters }) => parameters));
    }
    if (value.kind === 'step' && value.step === stopAt) stop.abort();
  }
}

const teacher = await teacherSamples();
const result = {
  ...(await distilled()),
  ...(teaches && { teaching: await taught() }),
  teacher,
};
const resumed = resumeIn && {
  resumed: [
    await modelsOf(join(resumeIn, 'stopped'), Math.floor(steps / 3)),
    await modelsOf(join(resumeIn, 'whole')),
  ],
};
console.log(JSON.stringify({ ...result, ...resumed }));
process.exit(0);
