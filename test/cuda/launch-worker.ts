/** @file Distils on the stand-in for a card, and prints what each program asks for as one line of JSON. */
import { NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import { benchDistiller, benchTeacher } from '../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../src/trainer/run/benchmark.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { computeOptions } from '../../src/trainer/runtime/providers.ts';
import {
  type Asked,
  Card,
  type Launches,
  type LaunchResult,
  type LaunchTask,
  sumOf,
} from './card.ts';

const { config, precision, graphs, steps, batch } = JSON.parse(process.argv[2]!) as LaunchTask;
/** Steps in which programs are recorded, and memory grows. */
const WARM = 2;

const card = new Card();
engine({
  device: 'cuda',
  ...computeOptions('cuda', { precision }),
  cpuFallback: false,
  capture: graphs,
});

const COPIES_OF_HOST = ['copy up', 'copy down', 'copy and wait up', 'copy and wait down'];
const runs = new Map<string, Launches[]>();
const recorded = { times: 0, copiesOfHost: 0 };
let isWarm = false;
let mostBytes = 0;
let threads = 0;

function note(name: string, asked: Asked, hostMs: number): void {
  mostBytes = Math.max(mostBytes, asked.mostBytes);
  threads = Math.max(threads, asked.threads);
  recorded.times += asked.counts.get('record') ?? 0;
  recorded.copiesOfHost += sumOf(asked, ...COPIES_OF_HOST.map((copy) => `recorded: ${copy}`));
  if (!isWarm) return;
  const of = runs.get(name) ?? [];
  runs.set(name, of);
  of.push({
    kernels: sumOf(asked, 'kernel'),
    products: sumOf(asked, 'cublas'),
    byCudnn: sumOf(asked, 'cudnn'),
    copiesOnCard: sumOf(asked, 'copy on the card'),
    copiesOfHost: sumOf(asked, ...COPIES_OF_HOST),
    replays: sumOf(asked, 'cudaGraphLaunch'),
    hostMs,
  });
}

const { run } = Program.prototype;
Program.prototype.run = async function counted(this: Program) {
  card.reset();
  const start = performance.now();
  await run.call(this);
  note(this.name, card.asked(), performance.now() - start);
};

/** One run as all are, with the median time. */
function summary(name: string, of: readonly Launches[]): Launches {
  const [first, ...others] = of.map(({ hostMs: _, ...counts }) => JSON.stringify(counts));
  if (others.some((other) => other !== first)) {
    throw new Error(`${name} does not ask for the same in each step: ${[first, ...others].join()}`);
  }
  const times = of.map(({ hostMs }) => hostMs).toSorted((a, b) => a - b);
  return { ...of[0]!, hostMs: Number(times[times.length >> 1]!.toFixed(3)) };
}

const { network, batch: usual } = BENCH_CONFIGS[config];
const distiller = benchDistiller(benchTeacher(NetworkConfigSchema.parse(network)), batch ?? usual);
for (let step = 0; step < WARM + steps; step++) {
  isWarm = step >= WARM;
  await distiller.step(step);
}
distiller.dispose();

const programs = Object.fromEntries([...runs].map(([name, of]) => [name, summary(name, of)]));
const result: LaunchResult = { programs, recorded, threads, mostBytes };
console.log(JSON.stringify(result));
process.exit(0);
