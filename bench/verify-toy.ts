/**
 * @file `npm run verify:toy`: distils on the 2-D sets from scratch and measures teacher and student.
 *
 *     npm run verify:toy -- [SET[:SEED] ...] [--threads N]
 *
 * Energy distance is the mean of ten independent draws of 10,000 samples against 10,000 data points
 * each. Results are merged into bench/results/verify-toy.json; the exit code is 1 when a bound is missed.
 */
import { parseArgs } from 'node:util';
import { POINT_SET_NAMES, type PointSetName, pointSet } from '../src/trainer/data/points.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import { TeacherTrainer } from '../src/trainer/run/teacher-trainer.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { finish, mergeResults } from './results.ts';
import { measureToy, round } from './toy-measure.ts';
import { TOY_DISTILL, TOY_TEACHER } from './toy-recipe.ts';

const SEEDS = [0, 1, 2];

/** Bounds on the teacher's energy distance, and on the share of each mode. */
const BOUNDS: Record<PointSetName, { teacher: number; shares: readonly [number, number] }> = {
  '8g': { teacher: 0.001, shares: [0.1, 0.15] },
  moons: { teacher: 0.0015, shares: [0.45, 0.55] },
  checker: { teacher: 0.005, shares: [0.1, 0.15] },
};

async function verify(set: PointSetName, seed: number) {
  const started = performance.now();
  const teacherJob = { ...TOY_TEACHER, dataset: pointSet(set), seed };
  const trained = await finish(train(new TeacherTrainer(teacherJob), teacherJob.steps));
  const { teacher } = trained.models;
  const taught = performance.now();
  const distiller = new Distiller({ ...TOY_DISTILL, teacher, seed });
  const { models, outcome } = await finish(train(distiller, TOY_DISTILL.steps));
  const { student } = models;
  const distilled = performance.now();
  const ofTeacher = await measureToy(teacher, set);
  const ofStudent = await measureToy(student, set);
  const { teacher: bound, shares } = BOUNDS[set];
  const limit = 1.5 * ofTeacher.energy + 0.0004;
  const isInside = (s: number) => s >= shares[0] && s <= shares[1];
  return {
    set,
    seed,
    outcome: outcome.kind,
    teacher: ofTeacher,
    student: ofStudent,
    bounds: { teacher: bound, student: round(limit), shares },
    passed:
      ofTeacher.energy <= bound && ofStudent.energy <= limit && ofStudent.shares.every(isInside),
    teacherSeconds: Math.round((taught - started) / 1000),
    distillSeconds: Math.round((distilled - taught) / 1000),
  };
}

const { values, positionals } = parseArgs({
  options: { threads: { type: 'string' } },
  allowPositionals: true,
});
if (values.threads) engine({ threads: Number(values.threads) });
const wanted = positionals.length ? positionals : [...POINT_SET_NAMES];
let failures = 0;
for (const item of wanted) {
  const [set, seed] = item.split(':');
  const name = POINT_SET_NAMES.find((n) => n === set);
  if (!name) throw new Error(`no set ${set}; sets: ${POINT_SET_NAMES.join(', ')}`);
  for (const s of seed === undefined ? SEEDS : [Number(seed)]) {
    const result = await verify(name, s);
    if (!result.passed) failures++;
    console.log(JSON.stringify(result));
    await mergeResults('verify-toy', `${name}:${s}`, {
      ...result,
      threads: engine().threads,
    });
  }
}
process.exitCode = failures ? 1 : 0;
