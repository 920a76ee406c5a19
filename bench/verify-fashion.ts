/**
 * @file `npm run verify:fashion`: scores the shipped teacher and student against Fashion-MNIST's test split.
 *
 *     npm run verify:fashion -- [--teacher FILE] [--student FILE] [--count 10000] [--threads N] [--save]
 *
 * Scores are Frechet distances in the space of models/fashion/features.onnx, and never plain FID. The bounds are
 * relative: to 10,000 training pictures for the teacher, to the teacher for the student.
 */
import { parseArgs } from 'node:util';
import type { Metric } from '../src/trainer/metrics/score-features.ts';
import { loadModel } from '../src/trainer/run/model-file.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { FashionMeasure, type Sampling } from './fashion-measure.ts';
import { megaflops } from './network-cost.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    teacher: { type: 'string', default: 'models/fashion/teacher.safetensors' },
    student: { type: 'string', default: 'models/fashion/student.safetensors' },
    features: { type: 'string' },
    count: { type: 'string', default: '10000' },
    threads: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
});
const BOUNDS = {
  megaflops: 80,
  /** Accuracy of the classifier on the test split. */
  classifier: 0.92,
  /** Teacher: score over that of training pictures; precision and recall, and accuracy, over theirs. */
  teacherScore: 15,
  shares: 0.6,
  accuracy: 0.95,
  /** Student: score, recall and time over the teacher's. */
  studentScore: 1,
  studentRecall: 0.9,
  speedup: 45,
};
const METRICS: readonly Metric[] = ['kid', 'precision', 'recall', 'density', 'coverage'];
const count = Number(values.count);

if (values.threads) engine({ threads: Number(values.threads) });
using measure = await FashionMeasure.open(values.features);
const teacher = await loadModel(values.teacher);
const student = await loadModel(values.student);

const classifier = measure.accuracy();
const real = await measure.training(count, METRICS);
await report('training pictures', { ...real, classifier });
const steps: Record<string, Sampling> = {
  'teacher, 50 Euler steps': { solver: 'euler', steps: 50, count },
  'teacher, 8 Euler steps': { solver: 'euler', steps: 8, count },
  'teacher, 4 Heun steps': { solver: 'heun', steps: 4, count },
  'teacher, 1 Euler step': { solver: 'euler', steps: 1, count },
};
const [many] = Object.values(steps);
const of = await measure.model(teacher, many!, METRICS);
await report(Object.keys(steps)[0]!, of);
for (const [name, sampling] of Object.entries(steps).slice(1)) {
  await report(name, await measure.model(teacher, sampling, METRICS));
}
const one = await measure.model(student, { solver: 'one-step', count }, METRICS);
await report('student, one step', one);

const ratios = {
  megaflops: Math.max(megaflops(teacher.info.network), megaflops(student.info.network)),
  classifier,
  teacherScore: of.score / real.score,
  teacherPrecision: of.precision! / real.precision!,
  teacherRecall: of.recall! / real.recall!,
  teacherAccuracy: of.accuracy / classifier,
  studentScore: one.score / of.score,
  studentRecall: one.recall! / of.recall!,
  studentAccuracy: one.accuracy / classifier,
  speedup: of.seconds / one.seconds,
};
const passed =
  ratios.megaflops <= BOUNDS.megaflops &&
  ratios.classifier >= BOUNDS.classifier &&
  ratios.teacherScore <= BOUNDS.teacherScore &&
  Math.min(ratios.teacherPrecision, ratios.teacherRecall) >= BOUNDS.shares &&
  ratios.teacherAccuracy >= BOUNDS.accuracy &&
  ratios.studentScore <= BOUNDS.studentScore &&
  ratios.studentRecall >= BOUNDS.studentRecall &&
  ratios.speedup >= BOUNDS.speedup;
await report('ratios', { ...ratios, bounds: BOUNDS, passed });
if (!passed) process.exitCode = 1;

async function report(name: string, entry: object): Promise<void> {
  const rounded = JSON.parse(
    JSON.stringify(entry, (_, value) =>
      typeof value === 'number' ? Number(value.toPrecision(4)) : value,
    ),
  );
  console.log(name, JSON.stringify(rounded));
  if (values.save) {
    await mergeResults('fashion', name, { ...rounded, count, threads: engine().threads });
  }
}
