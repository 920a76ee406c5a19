/**
 * @file `npm run verify:fashion`: scores the shipped models against Fashion-MNIST's test split.
 *
 *     npm run verify:fashion -- [--teacher FILE] [--student FILE] [--real FILE] [--count 10000] [--threads N] [--save] [--keep]
 *
 * Scores are Frechet distances in the space of models/fashion/features.onnx, and never plain FID. The bounds are relative:
 * to 10,000 training pictures for the teacher, to the teacher for the students, of whom `--real` has seen data. They are of
 * the teacher under the guidance that the students were distilled with; it is measured without guidance too, and so is its
 * time. With `--keep`, models that bench/results/fashion.json knows are not measured again.
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { statistic } from '../src/host/sweep/summary.ts';
import type { Guidance } from '../src/trainer/flow/guidance.ts';
import type { Metric } from '../src/trainer/metrics/score-features.ts';
import { type FlowModel, weightsHash } from '../src/trainer/run/model.ts';
import { loadModel } from '../src/trainer/run/model-file.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import {
  FashionMeasure,
  type Sampling as FashionSampling,
  type FashionScores,
} from './fashion-measure.ts';
import { megaflops } from './network-cost.ts';
import { mergeResults, readResults } from './results.ts';

const { values } = parseArgs({
  options: {
    teacher: { type: 'string', default: 'models/fashion/teacher.safetensors' },
    student: { type: 'string', default: 'models/fashion/student.safetensors' },
    real: { type: 'string', default: 'models/fashion/student-real.safetensors' },
    features: { type: 'string' },
    count: { type: 'string', default: '10000' },
    threads: { type: 'string' },
    save: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
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
  /** Student: score and recall over the teacher's, and its time in theirs. */
  studentScore: 1,
  realScore: 0.84,
  studentRecall: 0.9,
  speedup: 45,
};
/** Samples of what is timed without guidance. */
const TIMED = 1000;
/** Both are timed in turn; the medians count. */
const ROUNDS = 3;
const METRICS: readonly Metric[] = ['kid', 'precision', 'recall', 'density', 'coverage'];
const count = Number(values.count);
const known = (await readResults('fashion')) as Record<string, Partial<Measured>>;

type Sampling = Omit<FashionSampling, 'count'>;

/** What was measured of which model: the hash of its weights. */
interface Measured extends FashionScores {
  readonly model: string;
  readonly count?: number;
}

if (values.threads) engine({ threads: Number(values.threads) });
using measure = await FashionMeasure.open(values.features);
const teacher = await loadModel(values.teacher);
const student = await loadModel(values.student);
const real = await loadModel(values.real);
const GuidanceSchema = z.object({ teacher: z.number(), latest: z.number().optional() });
const guidanceOf = ({ info }: FlowModel): Guidance => {
  const { teacher: scale, latest } = GuidanceSchema.parse(info.training['guidance']);
  return { scale, latest };
};
const guidance = guidanceOf(student);
if (JSON.stringify(guidanceOf(real)) !== JSON.stringify(guidance)) {
  throw new Error(
    '--student and --real were distilled under different guidance: name two of the same',
  );
}
const { scale, latest } = guidance;
const underGuidance = `guidance ${scale}${latest === undefined ? '' : ` up to t ${latest}`}`;

const classifier = measure.accuracy();
const training = await measure.training(count, METRICS);
await report('training pictures', { ...training, classifier });
const oneStep = { solver: 'one-step' } as const;
const one = await measured('student, no data, one step', student, oneStep);
const seen = await measured('student, real data, one step', real, oneStep);
const TEACHER: Record<string, Sampling> = {
  '50 Euler steps': { solver: 'euler', steps: 50 },
  '8 Euler steps': { solver: 'euler', steps: 8 },
  '4 Heun steps': { solver: 'heun', steps: 4 },
  '4 Euler steps': { solver: 'euler', steps: 4 },
  '2 Euler steps': { solver: 'euler', steps: 2 },
  '1 Euler step': { solver: 'euler', steps: 1 },
};
const guided: Measured[] = [];
for (const [name, sampling] of Object.entries(TEACHER)) {
  guided.push(
    await measured(`teacher, ${underGuidance}, ${name}`, teacher, { ...sampling, guidance }),
  );
}
const plain = await measured('teacher, 50 Euler steps', teacher, TEACHER['50 Euler steps']!);
const times: { teacher: number; student: number }[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const many = await measure.model(teacher, { solver: 'euler', steps: 50, count: TIMED }, []);
  const once = await measure.model(student, { solver: 'one-step', count: TIMED }, []);
  times.push({ teacher: many.seconds, student: once.seconds });
}
const seconds = {
  teacher: statistic(times.map((t) => t.teacher)).median,
  student: statistic(times.map((t) => t.student)).median,
};
await report('time', {
  pictures: TIMED,
  rounds: ROUNDS,
  'teacher, 50 Euler steps': seconds.teacher,
  student: seconds.student,
});
const of = guided[0]!;

const ratios = {
  megaflops: Math.max(megaflops(teacher.info.network), megaflops(student.info.network)),
  classifier,
  teacher: teacherRatios(of),
  teacherWithoutGuidance: teacherRatios(plain),
  student: studentRatios(one),
  realStudent: studentRatios(seen),
  speedup: seconds.teacher / seconds.student,
};
const passed =
  ratios.megaflops <= BOUNDS.megaflops &&
  ratios.classifier >= BOUNDS.classifier &&
  isTeacher(ratios.teacher) &&
  isStudent(ratios.student, BOUNDS.studentScore) &&
  isStudent(ratios.realStudent, BOUNDS.realScore) &&
  ratios.speedup >= BOUNDS.speedup;
await report('ratios', { ...ratios, bounds: BOUNDS, passed });
if (!passed) process.exitCode = 1;

/** Over those of training pictures. */
function teacherRatios({ score, precision, recall, accuracy }: Measured) {
  return {
    score: score / training.score,
    precision: precision! / training.precision!,
    recall: recall! / training.recall!,
    accuracy: accuracy / classifier,
  };
}

function isTeacher({ score, precision, recall, accuracy }: ReturnType<typeof teacherRatios>) {
  return (
    score <= BOUNDS.teacherScore &&
    Math.min(precision, recall) >= BOUNDS.shares &&
    accuracy >= BOUNDS.accuracy
  );
}

/** Over those of the guided teacher; accuracy over that on the test split. */
function studentRatios({ score, recall, accuracy }: Measured) {
  return {
    score: score / of.score,
    scoreOfPlain: score / plain.score,
    recall: recall! / of.recall!,
    accuracy: accuracy / classifier,
  };
}

function isStudent({ score, recall }: ReturnType<typeof studentRatios>, bound: number) {
  return score <= bound && recall >= BOUNDS.studentRecall;
}

/** Measures and reports, or takes what is known of these very weights. */
async function measured(name: string, model: FlowModel, sampling: Sampling): Promise<Measured> {
  const hash = weightsHash(model);
  const before = values.keep && !values.features ? known[name] : undefined;
  if (before?.model === hash && before.count === count) return before as Measured;
  const found = await measure.model(model, { ...sampling, count }, METRICS);
  await report(name, { ...found, model: hash });
  return { ...found, model: hash };
}

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
