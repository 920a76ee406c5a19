/** @file `flowstep sweep`: runs a grid or list of training runs, here or on a queue, and makes a table of them. */
import type { Command } from 'commander';
import { readRoots } from '../config.ts';
import { FlowstepError } from '../errors.ts';
import { runInProcess } from '../host/sweep/in-process.ts';
import { type Runner, runSweep, type SweepEvent } from '../host/sweep/sweep.ts';
import { readSweepFile } from '../host/sweep/sweep-file.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { countText } from './progress.ts';

interface SweepOptions {
  readonly worker?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

/** Names the Redis whose queue takes the rows. */
const REDIS_URL = 'REDIS_URL';

/** Adds the command to the program. */
export function addSweepCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('sweep'))
    .description(
      'Run a workflow for every combination of inputs and seeds that a file names, and make a table of what is measured.',
    )
    .argument('<file>', 'sweep file (docs/sweeps.md); running it again does only what is missing')
    .option(
      '--worker',
      `work on the rows of the sweep that others put into the queue at ${REDIS_URL}, until stopped`,
    )
    .option(
      '--out <DIR>',
      'folder for everything that is written (default: FLOWSTEP_OUTPUT or output)',
    )
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep sweep sweeps/example.json --threads 1',
        'REDIS_URL=redis://localhost flowstep sweep sweeps/example.json',
        'REDIS_URL=redis://localhost flowstep sweep sweeps/example.json --worker --threads 1',
      ),
    )
    .action((file: string, options: SweepOptions) => sweep(file, options, io));
}

async function sweep(file: string, options: SweepOptions, io: Io): Promise<void> {
  const redisUrl = io.environment[REDIS_URL] || undefined;
  if (options.worker) return work(file, options, redisUrl, io);
  const roots = readRoots(io.environment, { output: options.out });
  await answer(
    io,
    options.json,
    async () => {
      try {
        const { summary, files, text } = await runSweep(file, {
          registry: allNodes(),
          roots,
          signal: io.signal,
          runner: await runnerFor(redisUrl),
          onEvent: (event) => show(event, io),
        });
        return { files, summary, markdown: text };
      } finally {
        io.log.status('');
      }
    },
    ({ markdown, files }) => [...markdown, '', ...files],
  );
}

/** Redis and its library are only loaded where they are used. */
async function runnerFor(redisUrl: string | undefined): Promise<Runner> {
  if (redisUrl === undefined) return runInProcess;
  const { queueRunner } = await import('../host/sweep/queue.ts');
  return queueRunner(redisUrl);
}

async function work(
  file: string,
  { out, json }: SweepOptions,
  redisUrl: string | undefined,
  io: Io,
): Promise<void> {
  if (redisUrl === undefined) {
    throw new FlowstepError('USAGE', `--worker needs a queue: ${REDIS_URL} is not set`, {
      hint: `For example: ${REDIS_URL}=redis://localhost:6379 flowstep sweep ${file} --worker`,
    });
  }
  const { runWorker } = await import('../host/sweep/worker.ts');
  await answer(
    io,
    json,
    async () => {
      const { name } = await readSweepFile(file);
      await runWorker({
        sweep: name,
        redisUrl,
        registry: allNodes(),
        roots: readRoots(io.environment, { output: out }),
        signal: io.signal,
        onNotice: (message) => io.log.line(message),
      });
      return {};
    },
    () => [],
  );
}

function show(event: SweepEvent, { log }: Io): void {
  switch (event.kind) {
    case 'planned':
      log.line(`${event.rows} rows, ${event.finished} of them finished`);
      break;
    case 'progress':
      log.status(`${event.label}: ${event.node} ${countText(event.step)}`);
      break;
    case 'row':
      log.line(`[${event.done}/${event.rows}] ${rowText(event)}`);
      break;
    case 'failed':
      log.line(`failed: ${event.label}: ${event.error.message}`);
      break;
    case 'notice':
      log.line(event.message);
      break;
  }
}

/** Figures of a row that are told while the sweep goes on; the table has all. */
const TOLD_FIGURES = 4;

function rowText({ label, row }: Extract<SweepEvent, { kind: 'row' }>): string {
  const told = Object.entries(row.figures).slice(0, TOLD_FIGURES);
  const figures = told.map(([name, { value }]) => `${name} ${Number(value.toPrecision(4))}`);
  const found = row.problem ? row.problem.message : figures.join('  ');
  return `${label}: ${found}  (${row.made.seconds.toFixed(1)} s)`;
}
