/**
 * @file `npm run verify:toy`: distils on the 2-D sets from scratch and measures teacher and student.
 *
 *     npm run verify:toy -- [SET[:SEED] ...] [--threads N]
 *
 * Energy distance is the mean of ten independent draws of 10,000 samples against 10,000 data points
 * each. Results are merged into bench/results/verify-toy.json; the exit code is 1 when a bound is missed.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { POINT_SET_NAMES, type PointSetName, pointSet } from '../src/trainer/data/points.ts';
import { energyDistance } from '../src/trainer/metrics/energy-distance.ts';
import { modeShares } from '../src/trainer/metrics/mode-shares.ts';
import { fillNormal } from '../src/trainer/random/philox.ts';
import { STREAMS } from '../src/trainer/random/streams.ts';
import { Distiller } from '../src/trainer/run/distiller.ts';
import type { FlowModel } from '../src/trainer/run/model.ts';
import { type Solver, sample } from '../src/trainer/run/sample.ts';
import { TeacherTrainer } from '../src/trainer/run/teacher-trainer.ts';
import { train } from '../src/trainer/run/train.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { float32 } from '../src/trainer/tensor.ts';
import { mergeResults } from './results.ts';
import { TOY_DISTILL, TOY_TEACHER } from './toy-recipe.ts';

const DRAWS = 10;
const SAMPLES = 10_000;
const SEEDS = [0, 1, 2];

/** Bounds on the teacher's energy distance, and on the share of each mode. */
const BOUNDS: Record<PointSetName, { teacher: number; shares: readonly [number, number] }> = {
  '8g': { teacher: 0.001, shares: [0.1, 0.15] },
  moons: { teacher: 0.0015, shares: [0.45, 0.55] },
  checker: { teacher: 0.005, shares: [0.1, 0.15] },
};

interface Measure {
  energy: number;
  spread: number;
  shares: number[];
}

async function measure(model: FlowModel, set: PointSetName, solver: Solver): Promise<Measure> {
  const energies: number[] = [];
  const shares: number[][] = [];
  for (let draw = 0; draw < DRAWS; draw++) {
    const noise = new Float32Array(SAMPLES * 2);
    fillNormal(noise, 1, STREAMS.evaluation, draw);
    const request = { solver, steps: 50, noise: float32(noise, [SAMPLES, 2]) };
    const points = (await sample(model, request)).data;
    // Seed 1000 draws data that no training run has seen.
    energies.push(energyDistance(points, pointSet(set).batch(1000, draw, SAMPLES).x, 2));
    shares.push(modeShares(set, points));
  }
  const mean = energies.reduce((a, b) => a + b) / DRAWS;
  const variance = energies.reduce((a, b) => a + (b - mean) ** 2, 0) / (DRAWS - 1);
  const averaged = shares[0]!.map((_, i) => shares.reduce((a, s) => a + s[i]!, 0) / DRAWS);
  return { energy: round(mean), spread: round(Math.sqrt(variance)), shares: averaged.map(round) };
}

const round = (x: number) => Number(x.toPrecision(4));

async function finish<E, R>(run: AsyncGenerator<E, R>): Promise<R> {
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value;
  }
}

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
  const ofTeacher = await measure(teacher, set, 'euler');
  const ofStudent = await measure(student, set, 'one-step');
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
      machine: cpus()[0]?.model ?? 'unknown',
      date: new Date().toISOString().slice(0, 10),
    });
  }
}
process.exitCode = failures ? 1 : 0;
