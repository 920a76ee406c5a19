/**
 * @file `npm run verify:emoji`: text to picture on a small MM-DiT, trained here and distilled to one step.
 *
 *     npm run verify:emoji -- [--folder FOLDER] [--seeds 0,1,2] [--until teacher|full|lora] [--scan] [--threads N] [--save]
 *
 * A hundred emoji with their names, embedded by all-MiniLM-L6-v2. Score: share of 1,000 samples whose caption is among the
 * five whose pictures are nearest, in the features of a classifier of the captions. Everything is kept in the folder
 * and goes on from there. --scan compares scales of guidance, by fewer samples.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pictureGrid } from '../src/nodes/pictures/grid.ts';
import { writePng } from '../src/nodes/pictures/picture.ts';
import type { PromptSet } from '../src/trainer/data/prompts.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import type { FlowModel } from '../src/trainer/run/model.ts';
import { TeacherTrainer } from '../src/trainer/run/teacher-trainer.ts';
import { train } from '../src/trainer/run/train.ts';
import type { Trainer } from '../src/trainer/run/trainer.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { float32, sizeOf } from '../src/trainer/tensor.ts';
import { CAPTIONS } from './emoji/captions.ts';
import { type EmojiData, openMeasure, prepare } from './emoji/data.ts';
import {
  type EmojiMeasure,
  type EmojiScores,
  emojiSamples,
  type Sampling,
} from './emoji/measure.ts';
import { SHAPE } from './emoji/pictures.ts';
import { GUIDANCE, STUDENTS, TEACHER } from './emoji/recipe.ts';
import { mergeResults } from './results.ts';

const STAGES = ['teacher', 'full', 'lora'] as const;
type Stage = (typeof STAGES)[number];

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(tmpdir(), 'flowstep-emoji') },
    seeds: { type: 'string', default: '0,1,2' },
    until: { type: 'string', default: 'lora' },
    scan: { type: 'boolean', default: false },
    threads: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
});

const COUNT = 1000;
const BOUNDS = {
  teacher: 0.5,
  /** Student's over the teacher's. */
  student: 0.95,
};
const SCAN = [1, 1.5, 2, 3, 4];
const SCAN_COUNT = 200;
const TEACHER_STEPS = 50;
const SIZE = sizeOf(SHAPE);
const COLUMNS = 20;

if (values.threads) engine({ threads: Number(values.threads) });
const stages = STAGES.slice(0, STAGES.indexOf(values.until as Stage) + 1);
const data = await prepare(values.folder);
let measure: EmojiMeasure | undefined;
/** Samples of every fifth caption with the first seed, a row for each model in the order of their scores. */
const compared: number[] = [];
const seeds = values.seeds.split(',').map(Number);
const shares: Record<string, number[]> = {};
for (const seed of seeds) await verify(seed, data);
const passed = Object.entries(shares).every(([name, of]) =>
  of.every((top5, i) =>
    name === 'teacher' ? top5 >= BOUNDS.teacher : top5 >= BOUNDS.student * shares['teacher']![i]!,
  ),
);
await writeGrid('compared', Float32Array.from(compared));
await report('top5 of all seeds', { ...shares, seeds, bounds: BOUNDS, passed });
if (!passed) process.exitCode = 1;

/** Trains, distils and measures with one seed. */
async function verify(seed: number, { dataset, prompts }: EmojiData): Promise<void> {
  const name = `teacher-${seed}`;
  const { teacher } = await trained(
    name,
    new TeacherTrainer({ ...TEACHER, dataset, prompts, seed }),
    TEACHER.steps,
  );
  const steps = TEACHER_STEPS;
  for (const guidance of values.scan ? SCAN : []) {
    const sampling = { steps, guidance, count: SCAN_COUNT, seed };
    await score(`${name}, guidance ${guidance}`, teacher, sampling);
  }
  const sampling = { guidance: GUIDANCE, count: COUNT, seed };
  await score(`${name}, 1 step`, teacher, { ...sampling, steps: 1 });
  const found = { teacher: await score(name, teacher, { ...sampling, steps }) };
  const students = await distilled(seed, teacher, prompts);
  for (const [kind, { top5 }] of Object.entries({ ...found, ...students })) {
    shares[kind] = [...(shares[kind] ?? []), top5];
  }
}

async function distilled(seed: number, teacher: FlowModel, prompts: PromptSet) {
  const found: Partial<Record<keyof typeof STUDENTS, EmojiScores>> = {};
  for (const kind of ['full', 'lora'] as const) {
    if (!stages.includes(kind)) continue;
    const job = { ...STUDENTS[kind], teacher, prompts, seed };
    const { student } = await trained(`${kind}-${seed}`, new Distiller(job), job.steps);
    found[kind] = await score(`${kind}-${seed}`, student, { count: COUNT, seed });
  }
  return found;
}

/** The models of a run in the folder, which is gone on with. */
async function trained<M extends Readonly<Record<string, FlowModel>>>(
  name: string,
  trainer: Trainer<M>,
  steps: number,
): Promise<M> {
  const run = train(trainer, steps, {
    folder: join(values.folder, 'runs', name),
    resume: 'auto',
    checkpointEvery: 250,
    keepCheckpoints: 2,
    sampleEvery: 0,
  });
  let sum: Record<string, number> = {};
  for (;;) {
    const { value, done } = await run.next();
    if (done) return value.models;
    if (value.kind !== 'step') continue;
    for (const [key, x] of Object.entries(value.metrics)) sum[key] = (sum[key] ?? 0) + x / 100;
    if (value.step % 100 > 0) continue;
    const shown = Object.entries(sum).map(([key, x]) => `${key} ${x.toPrecision(4)}`);
    console.log(`${name} ${value.step}/${steps}: ${shown.join(', ')}`);
    sum = {};
  }
}

async function score(name: string, model: FlowModel, sampling: Sampling): Promise<EmojiScores> {
  const samples = await emojiSamples(model, data.prompts, sampling);
  measure ??= await openMeasure(data);
  const scores = await measure.scores(samples);
  const all = samples.data.subarray(0, CAPTIONS.length * SIZE);
  await writeGrid(name.replaceAll(/\W+/g, '-'), all);
  if (sampling.seed === seeds[0] && sampling.count === COUNT) {
    for (let i = 0; i < CAPTIONS.length; i += CAPTIONS.length / COLUMNS) {
      compared.push(...all.subarray(i * SIZE, (i + 1) * SIZE));
    }
  }
  await report(name, { ...sampling, ...scores });
  return scores;
}

async function writeGrid(name: string, data: Float32Array): Promise<void> {
  const samples = float32(data, [data.length / SIZE, ...SHAPE]);
  const picture = pictureGrid(samples, { columns: COLUMNS, scale: 2 });
  await writePng(join(values.folder, `${name}.png`), picture);
}

async function report(name: string, entry: object): Promise<void> {
  const rounded = JSON.parse(
    JSON.stringify(entry, (_, x) => (typeof x === 'number' ? Number(x.toPrecision(4)) : x)),
  );
  console.log(name, JSON.stringify(rounded));
  if (values.save) await mergeResults('emoji', name, { ...rounded, threads: engine().threads });
}
