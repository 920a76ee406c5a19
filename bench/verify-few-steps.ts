/**
 * @file `npm run verify:few-steps`: students of 1, 2 and 4 steps of one teacher on checker, with both transitions.
 *
 *     npm run verify:few-steps -- [--threads N]
 *
 * A student of more steps must not be further from the data than the one-step student, within the 95 % interval
 * of ten draws: its interval must begin below the end of the other's.
 */
import { parseArgs } from 'node:util';
import { pointSet } from '../src/trainer/data/points.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { studentSettings } from '../src/trainer/run/model.ts';
import { TeacherTrainer } from '../src/trainer/run/teacher-trainer.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { finish, mergeResults } from './results.ts';
import { interval, measureToy } from './toy-measure.ts';
import { TOY_DISTILL, TOY_TEACHER } from './toy-recipe.ts';

const SET = 'checker';
const SEED = 0;
const STUDENTS = [
  { steps: 1, transition: 'euler' },
  { steps: 2, transition: 'euler' },
  { steps: 4, transition: 'euler' },
  { steps: 2, transition: 'fresh' },
  { steps: 4, transition: 'fresh' },
] as const;

const { values } = parseArgs({ options: { threads: { type: 'string' } } });
if (values.threads) engine({ threads: Number(values.threads) });

const teacherJob = { ...TOY_TEACHER, dataset: pointSet(SET), seed: SEED };
const { models } = await finish(train(new TeacherTrainer(teacherJob), teacherJob.steps));
let bound = Number.POSITIVE_INFINITY;
let failures = 0;
for (const { steps, transition } of STUDENTS) {
  const student = studentSettings({ tStar: 0.97, cIn: 0.97, steps, transition });
  const job = { ...TOY_DISTILL, teacher: models.teacher, seed: SEED, student };
  const trained = await finish(train(new Distiller(job), job.steps));
  const measure = await measureToy(trained.models.student, SET);
  const [low, high] = interval(measure);
  if (steps === 1) bound = high;
  const passed = low <= bound;
  if (!passed) failures++;
  const result = {
    steps,
    transition,
    grid: student.grid,
    ...measure,
    interval: [low, high],
    passed,
  };
  console.log(JSON.stringify(result));
  await mergeResults('verify-few-steps', `${SET}:${steps}:${transition}`, {
    ...result,
    threads: engine().threads,
  });
}
process.exitCode = failures ? 1 : 0;
