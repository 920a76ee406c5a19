/**
 * @file `npm run verify:resume`: kills distillations at random steps, resumes them and compares bits.
 *
 *     npm run verify:resume -- [--mlp 20] [--dit 5] [--seed S]
 *
 * Weights, moments, averages and every statistic but times must equal those of an uninterrupted run.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fillUniform } from '../src/trainer/random/philox.ts';
import { mergeResults } from './results.ts';
import { CHECKPOINT_EVERY, RESUME_JOBS, type ResumeJob } from './resume/job.ts';
import { runDifferences, trainInProcess } from './resume/kill.ts';

/** Longest wait between a step that is told and the kill. */
const MOST_DELAY_MS = 40;

const { values } = parseArgs({
  options: {
    mlp: { type: 'string', default: '20' },
    dit: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
});
const seed = Number(values.seed);

async function verify(job: ResumeJob, kills: number, base: string) {
  const whole = join(base, `${job}-whole`);
  await trainInProcess(job, whole);
  const { steps } = RESUME_JOBS[job];
  const cases = [];
  for (let i = 0; cases.length < kills; i++) {
    const draw = new Float32Array(2);
    fillUniform(draw, seed, steps, i);
    const kill = {
      step: 1 + Math.floor(draw[0]! * (steps - 1)),
      afterMs: Math.floor(draw[1]! * MOST_DELAY_MS),
    };
    const folder = join(base, `${job}-${i}`);
    const { wasKilled, last } = await trainInProcess(job, folder, kill);
    // It came to its end before the kill: another draw.
    if (!wasKilled) continue;
    await trainInProcess(job, folder);
    const differences = await runDifferences(whole, folder);
    cases.push({ killedAfterStep: last, differences });
    console.log(`${job} killed after step ${last}: ${differences.join(', ') || 'equal'}`);
    await rm(folder, { recursive: true });
  }
  const passed = cases.every(({ differences }) => differences.length === 0);
  await mergeResults('verify-resume', job, {
    steps,
    checkpointEvery: CHECKPOINT_EVERY[job],
    kills: cases.length,
    killedAfterSteps: cases.map((c) => c.killedAfterStep),
    different: cases.filter(({ differences }) => differences.length > 0).length,
    passed,
  });
  return passed;
}

const base = await mkdtemp(join(tmpdir(), 'flowstep-resume-'));
try {
  const mlp = await verify('mlp', Number(values.mlp), base);
  const dit = await verify('dit', Number(values.dit), base);
  process.exitCode = mlp && dit ? 0 : 1;
} finally {
  await rm(base, { recursive: true, force: true });
}
