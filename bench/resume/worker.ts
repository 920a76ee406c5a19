/** @file A process that trains one of the jobs in a run folder and prints each step: `worker.ts JOB FOLDER`. */
import { writeSync } from 'node:fs';
import { Distiller } from '../../src/trainer/run/distiller.ts';
import { train } from '../../src/trainer/run/train.ts';
import { CHECKPOINT_EVERY, RESUME_JOBS, type ResumeJob } from './job.ts';

const [name, folder] = process.argv.slice(2) as [ResumeJob, string];
const job = RESUME_JOBS[name];
const run = {
  folder,
  resume: 'auto',
  checkpointEvery: CHECKPOINT_EVERY[name],
  keepCheckpoints: 2,
  sampleEvery: 0,
} as const;
for await (const event of train(new Distiller(job), job.steps, run)) {
  // Straight to the pipe: a line in a buffer would be lost with the process, or come late.
  if (event.kind === 'step') writeSync(1, `${event.step}\n`);
}
