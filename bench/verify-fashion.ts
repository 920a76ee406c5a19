/**
 * @file `npm run verify:fashion`: scores the shipped models against Fashion-MNIST's test split.
 *
 *     npm run verify:fashion -- [--teacher FILE] [--student FILE] [--real FILE] [--count 10000] [--threads N] [--save]
 *
 * Scores are Frechet distances in the space of models/fashion/features.onnx, and never plain FID. The bounds are relative:
 * to 10,000 training pictures for the teacher, to the teacher for the student, and for one that has seen real data where `--real` names it. The
 * teacher is measured under the guidance that the student was distilled with; without it, it is timed.
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { Metric } from '../src/trainer/metrics/score-features.ts';
import { loadModel } from '../src/trainer/run/model-file.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { FashionMeasure, type FashionScores, type Sampling } from './fashion-measure.ts';
import { megaflops } from './network-cost.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    teacher: { type: 'string', default: 'models/fashion/teacher.safetensors' },
    student: { type: 'string', default: 'models/fashion/student.safetensors' },
    real: { type: 'string' },
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
  realScore: 0.84,
  studentRecall: 0.9,
  speedup: 45,
};
/** Samples of what is timed without guidance. */
const TIMED = 1000;
const METRICS: readonly Metric[] = ['kid', 'precision', 'recall', 'density', 'coverage'];
const count = Number(values.count);

if (values.threads) engine({ threads: Number(values.threads) });
using measure = await FashionMeasure.open(values.features);
const teacher = await loadModel(values.teacher);
const student = await loadModel(values.student);
const real = values.real === undefined ? undefined : await loadModel(values.real);
const GuidanceSchema = z.object({ teacher: z.number() });
const cfg = GuidanceSchema.parse(student.info.training['guidance']).teacher;

const classifier = measure.accuracy();
const training = await measure.training(count, METRICS);
await report('training pictures', { ...training, classifier });
const students: Record<string, FashionScores> = {};
for (const [name, model] of Object.entries({ 'no data': student, 'real data': real })) {
  if (!model) continue;
  students[name] = await measure.model(model, { solver: 'one-step', count }, METRICS);
  await report(`student, ${name}, one step`, students[name]);
}
const steps: Record<string, Sampling> = {
  '50 Euler steps': { solver: 'euler', steps: 50, count, cfg },
  '8 Euler steps': { solver: 'euler', steps: 8, count, cfg },
  '4 Heun steps': { solver: 'heun', steps: 4, count, cfg },
  '4 Euler steps': { solver: 'euler', steps: 4, count, cfg },
  '2 Euler steps': { solver: 'euler', steps: 2, count, cfg },
  '1 Euler step': { solver: 'euler', steps: 1, count, cfg },
};
const scores: FashionScores[] = [];
for (const [name, sampling] of Object.entries(steps)) {
  scores.push(await measure.model(teacher, sampling, METRICS));
  await report(`teacher, guidance ${cfg}, ${name}`, scores.at(-1)!);
}
const plain = await measure.model(teacher, { solver: 'euler', steps: 50, count: TIMED }, []);
const once = await measure.model(student, { solver: 'one-step', count: TIMED }, []);
await report('time', {
  count: TIMED,
  'teacher, 50 Euler steps': plain.seconds,
  student: once.seconds,
});
const of = scores[0]!;
const one = students['no data']!;
const seen = students['real data'];

const ratios = {
  megaflops: Math.max(megaflops(teacher.info.network), megaflops(student.info.network)),
  classifier,
  teacherScore: of.score / training.score,
  teacherPrecision: of.precision! / training.precision!,
  teacherRecall: of.recall! / training.recall!,
  teacherAccuracy: of.accuracy / classifier,
  studentScore: one.score / of.score,
  studentRecall: one.recall! / of.recall!,
  studentAccuracy: one.accuracy / classifier,
  ...(seen && { realScore: seen.score / of.score, realRecall: seen.recall! / of.recall! }),
  speedup: plain.seconds / once.seconds,
};
const passed =
  ratios.megaflops <= BOUNDS.megaflops &&
  ratios.classifier >= BOUNDS.classifier &&
  ratios.teacherScore <= BOUNDS.teacherScore &&
  Math.min(ratios.teacherPrecision, ratios.teacherRecall) >= BOUNDS.shares &&
  ratios.teacherAccuracy >= BOUNDS.accuracy &&
  ratios.studentScore <= BOUNDS.studentScore &&
  ratios.studentRecall >= BOUNDS.studentRecall &&
  (!seen ||
    (seen.score <= BOUNDS.realScore * of.score &&
      seen.recall! >= BOUNDS.studentRecall * of.recall!)) &&
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
