/**
 * @file `npm run verify:real-data`: what RealUID's real-data term mends when the teacher is weak.
 *
 *     npm run verify:real-data -- [--threads N] [--seeds 0,1,2] [--alpha A --beta B]
 *
 * A teacher of few steps on 8g is distilled without and with real data; for each seed the 95 % intervals of the
 * mean energy distance over ten draws must lie apart, the student that saw real data nearer to the data.
 */
import { parseArgs } from 'node:util';
import { pointSet } from '../src/trainer/data/points.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { TeacherTrainer } from '../src/trainer/run/teacher-trainer.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { finish, mergeResults } from './results.ts';
import { interval, measureToy } from './toy-measure.ts';
import { TOY_DISTILL, TOY_TEACHER } from './toy-recipe.ts';

const SET = '8g';
/** The teacher's steps, of 20,000 in the recipe: it finds the modes and blurs them. */
const WEAK_STEPS = 500;
/** Of both students. The full loss, which RealUID's terms belong to. */
const DISTILL = { ...TOY_DISTILL, steps: 4000, lambda1: 1 };

const { values } = parseArgs({
  options: {
    threads: { type: 'string' },
    seeds: { type: 'string', default: '0,1,2' },
    alpha: { type: 'string', default: '0.5' },
    beta: { type: 'string', default: '1' },
  },
});
if (values.threads) engine({ threads: Number(values.threads) });
const realAlpha = Number(values.alpha);
const realBeta = Number(values.beta);
const dataset = pointSet(SET);

let failures = 0;
for (const seed of values.seeds.split(',').map(Number)) {
  const weak = { ...TOY_TEACHER, steps: WEAK_STEPS, dataset, seed };
  const { teacher } = (await finish(train(new TeacherTrainer(weak), WEAK_STEPS))).models;
  const student = async (withData: boolean) => {
    const realData = withData ? { realData: { dataset, realAlpha, realBeta } } : {};
    const job = { ...DISTILL, teacher, seed, ...realData };
    return measureToy((await finish(train(new Distiller(job), job.steps))).models.student, SET);
  };
  const dataFree = await student(false);
  const real = await student(true);
  const passed = interval(real)[1] < interval(dataFree)[0];
  if (!passed) failures++;
  const withInterval = (m: typeof real) => ({ ...m, interval: interval(m) });
  const result = {
    seed,
    teacher: await measureToy(teacher, SET),
    dataFree: withInterval(dataFree),
    realData: { realAlpha, realBeta, ...withInterval(real) },
    passed,
  };
  console.log(JSON.stringify(result));
  await mergeResults('verify-real-data', `${SET}:${seed}`, {
    ...result,
    threads: engine().threads,
  });
}
process.exitCode = failures ? 1 : 0;
