/**
 * @file `npm run verify:soak`: thirty minutes of distillation with checkpoints and sample pictures; memory must not grow.
 *
 *     npm run verify:soak -- [--minutes 30] [--threads N]
 *
 * The resident memory's slope is a least-squares line over the last two thirds; live tensors are ONNX Runtime's
 * handles over our memory.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { mergeResults } from './results.ts';
import { RESUME_JOBS } from './resume/job.ts';

/** The soak fails above it. A leak of one number a step would be ten times that at this speed. */
const MAX_SLOPE_MIB_PER_MINUTE = 0.1;
const SAMPLE_MS = 5000;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, threads: { type: 'string' } },
});
if (values.threads) engine({ threads: Number(values.threads) });
const minutes = Number(values.minutes);

interface Point {
  minute: number;
  rssMib: number;
  tensors: number;
}

function slope(points: readonly Point[]): number {
  const mean = (f: (p: Point) => number) => points.reduce((s, p) => s + f(p), 0) / points.length;
  const x = mean((p) => p.minute);
  const y = mean((p) => p.rssMib);
  const covariance = mean((p) => (p.minute - x) * (p.rssMib - y));
  return covariance / mean((p) => (p.minute - x) ** 2);
}

const base = await mkdtemp(join(tmpdir(), 'flowstep-soak-'));
const points: Point[] = [];
const job = { ...RESUME_JOBS.mlp, schedule: 'constant', steps: 100_000_000 } as const;
const run = {
  folder: join(base, 'soak'),
  resume: 'never',
  checkpointEvery: 1000,
  keepCheckpoints: 3,
  sampleEvery: 1000,
} as const;
const abort = new AbortController();
const start = performance.now();
let steps = 0;
const timer = setInterval(() => {
  const minute = (performance.now() - start) / 60_000;
  const rssMib = process.memoryUsage.rss() / 2 ** 20;
  points.push({ minute, rssMib, tensors: engine().liveTensors });
  if (minute >= minutes) abort.abort();
}, SAMPLE_MS);
try {
  for await (const event of train(new Distiller(job), job.steps, run, abort.signal)) {
    if (event.kind === 'step') steps = event.step;
  }
} finally {
  clearInterval(timer);
  await rm(base, { recursive: true, force: true });
}

const late = points.filter(({ minute }) => minute >= minutes / 3);
const round = (x: number) => Number(x.toPrecision(4));
const tensors = late.map((p) => p.tensors);
const result = {
  minutes,
  steps,
  rssMib: {
    start: round(points[0]!.rssMib),
    third: round(late[0]!.rssMib),
    end: round(late.at(-1)!.rssMib),
  },
  slopeMibPerMinute: round(slope(late)),
  bound: MAX_SLOPE_MIB_PER_MINUTE,
  liveTensors: [Math.min(...tensors), Math.max(...tensors)],
  threads: engine().threads,
};
const passed =
  result.slopeMibPerMinute <= MAX_SLOPE_MIB_PER_MINUTE &&
  result.liveTensors[0] === result.liveTensors[1];
console.log(JSON.stringify({ ...result, passed }));
await mergeResults('verify-soak', 'mlp', { ...result, passed });
process.exitCode = passed ? 0 : 1;
