/**
 * @file `npm run verify:gan`: what a discriminator adds to a student of Fashion-MNIST.
 *
 *     npm run verify:gan -- [--threads N] [--seeds 0,1,2] [--begin N] [--steps N] [--weight W] [--discriminator W] [--head NAME]
 *
 * As in SiD2A, the discriminator comes after a stage without it: the shipped teacher is distilled for a while, then each seed
 * goes on with that student, without and with the term, all else equal. Over the seeds the gap to the test
 * split's power spectrum above half of the highest frequency must shrink (95 % interval of the mean difference of its
 * logarithm excludes 0), and no other measure may get worse by more than 5 %.
 */
import { parseArgs } from 'node:util';
import { fashionMnist, findFashionMnist } from '../src/trainer/data/fashion-mnist.ts';
import { readIdx } from '../src/trainer/data/idx.ts';
import { GAN_HEADS } from '../src/trainer/methods/gan.ts';
import {
  fineDetailGap,
  powerSpectrum,
  type Spectrum,
} from '../src/trainer/metrics/power-spectrum.ts';
import { fillNormal } from '../src/trainer/random/philox.ts';
import { STREAMS } from '../src/trainer/random/streams.ts';
import type { DistillJob } from '../src/trainer/run/distill-job.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { type FlowModel, studentSettings } from '../src/trainer/run/model.ts';
import { loadModel } from '../src/trainer/run/model-file.ts';
import { sample } from '../src/trainer/run/sample.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { float32 } from '../src/trainer/tensor.ts';
import { FashionMeasure, type FashionScores } from './fashion-measure.ts';
import { finish, mergeResults } from './results.ts';

const SIDE = 28;
const COUNT = 5000;
/** Most that a measure may lose. */
const LOSS = 0.05;
/** Two-sided 95 % of Student's t for 1, 2, ... degrees of freedom. */
const STUDENT_T = [12.706, 4.303, 3.182, 2.776, 2.571];

const { values } = parseArgs({
  options: {
    threads: { type: 'string' },
    seeds: { type: 'string', default: '0,1,2' },
    begin: { type: 'string', default: '250' },
    steps: { type: 'string', default: '120' },
    weight: { type: 'string', default: '0.1' },
    discriminator: { type: 'string', default: '0.15' },
    head: { type: 'string', default: 'channels' },
    teacher: { type: 'string', default: 'models/fashion/teacher.safetensors' },
    cfg: { type: 'string', default: '1.4' },
  },
});
if (values.threads) engine({ threads: Number(values.threads) });
const head = GAN_HEADS.find((name) => name === values.head);
if (!head) throw new Error(`--head is one of ${GAN_HEADS.join(', ')}`);

interface Measured extends FashionScores {
  readonly fineDetailGap: number;
}

const teacher = await loadModel(values.teacher);
const dataset = await fashionMnist('train');
const times = { kind: 'logit-normal', mean: 0, std: 1.2, min: 0.005, max: 0.98 } as const;
const JOB: Omit<DistillJob, 'seed' | 'steps'> = {
  teacher,
  online: { init: 'teacher', updates: 1, learningRate: 5e-4, density: times },
  batch: 64,
  learningRate: 5e-5,
  warmup: 20,
  schedule: 'linear',
  emaDecay: 0.98,
  clipNorm: 0,
  clipValue: 0,
  density: times,
  lambda1: 0,
  weight: 'velocity',
  student: studentSettings({ tStar: 0.97, cIn: 0.97 }),
  guidance: { teacher: Number(values.cfg), online: 1 },
};
/** Of the stage before, whose rates are those of the shipped student. */
const BEGIN = { learningRate: 3e-4, online: { ...JOB.online, learningRate: 1e-3 } };
const gan = {
  dataset,
  weight: Number(values.weight),
  discriminatorWeight: Number(values.discriminator),
  head,
  start: 0,
};

using measure = await FashionMeasure.open();
const real = await testSpectrum();

const studentModel = await distilled({ ...JOB, ...BEGIN, steps: Number(values.begin), seed: 0 });
const before = await measured(studentModel);
console.log(JSON.stringify({ before }));
const pairs: { readonly without: Measured; readonly with: Measured }[] = [];
for (const seed of values.seeds.split(',').map(Number)) {
  // The stage before has seed 0: its draws are not drawn again.
  const job = { ...JOB, studentModel, steps: Number(values.steps), seed: seed + 1 };
  const pair = {
    without: await measured(await distilled(job)),
    with: await measured(await distilled({ ...job, gan })),
  };
  pairs.push(pair);
  console.log(JSON.stringify({ seed, ...pair }));
}

const gains = pairs.map((p) => Math.log(p.without.fineDetailGap / p.with.fineDetailGap));
const gain = meanInterval(gains);
const worse = (of: (m: Measured) => number) =>
  mean(pairs.map((p) => of(p.with))) / mean(pairs.map((p) => of(p.without)));
const ratios = {
  score: worse((m) => m.score),
  precision: worse((m) => m.precision!),
  recall: worse((m) => m.recall!),
  accuracy: worse((m) => m.accuracy),
};
const passed =
  gain.interval[0] > 0 &&
  ratios.score <= 1 + LOSS &&
  Math.min(ratios.precision, ratios.recall, ratios.accuracy) >= 1 - LOSS;
const { dataset: _data, ...settings } = gan;
const result = {
  begin: Number(values.begin),
  steps: Number(values.steps),
  gan: settings,
  before,
  pairs,
  gain,
  ratios,
  passed,
};
console.log(JSON.stringify({ gain, ratios, passed }));
await mergeResults('verify-gan', 'fashion-mnist', { ...result, threads: engine().threads });
process.exitCode = passed ? 0 : 1;

async function distilled(job: DistillJob): Promise<FlowModel> {
  const { models } = await finish(train(new Distiller(job), job.steps));
  return models.student;
}

async function measured(model: FlowModel): Promise<Measured> {
  const scores = await measure.model(model, { solver: 'one-step', count: COUNT }, [
    'precision',
    'recall',
  ]);
  return { ...scores, fineDetailGap: fineDetailGap(await spectrumOf(model), real) };
}

async function spectrumOf(model: FlowModel): Promise<Spectrum> {
  const shape = [COUNT, 1, SIDE, SIDE];
  const noise = new Float32Array(COUNT * SIDE ** 2);
  fillNormal(noise, 2, STREAMS.evaluation, 0);
  const labels = Int32Array.from({ length: COUNT }, (_, i) => i % 10);
  const { data } = await sample(model, {
    solver: 'one-step',
    noise: float32(noise, shape),
    labels,
  });
  return powerSpectrum(
    data.map((x) => Math.min(Math.max(x, -1), 1)),
    shape,
  );
}

async function testSpectrum(): Promise<Spectrum> {
  const { images } = await findFashionMnist('test');
  const { data } = await readIdx(images);
  const count = data.length / SIDE ** 2;
  const pictures = Float32Array.from(data, (byte) => byte / 127.5 - 1);
  return powerSpectrum(pictures, [count, 1, SIDE, SIDE]);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function meanInterval(values: readonly number[]) {
  const centre = mean(values);
  const n = values.length;
  const variance = values.reduce((sum, x) => sum + (x - centre) ** 2, 0) / (n - 1);
  const half = (STUDENT_T[n - 2] ?? 2) * Math.sqrt(variance / n);
  return { mean: centre, interval: [centre - half, centre + half] as const };
}
