/** @file `flowstep sample`: samples of a model file, without a workflow. */
import { mkdir } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { FlowstepError } from '../errors.ts';
import { drawSamples, pictureOfSamples } from '../nodes/draw-samples.ts';
import { writePng } from '../nodes/pictures/picture.ts';
import { writeSafetensors } from '../trainer/files/safetensors.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { SOLVERS, type Solver } from '../trainer/run/sample-request.ts';
import type { Tensor } from '../trainer/tensor.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface SampleOptions {
  readonly model: string;
  readonly out: string;
  readonly count: number;
  readonly seed: number;
  readonly solver?: Solver;
  readonly steps?: number;
  readonly label?: number;
  readonly json?: boolean;
}

/** Steps of a solver when none are given; the workflows compare students with the same. */
const DEFAULT_STEPS = 50;

/** Adds the command to the program. */
export function addSampleCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('sample'))
    .description('Make samples with a model file.')
    .requiredOption('--model <FILE>', 'model file (.safetensors)')
    .requiredOption(
      '--out <FILE>',
      '.png for a picture, .safetensors for one tensor named "samples"',
    )
    .option('--count <N>', 'how many samples', wholeNumber(1, 1_000_000), 64)
    .option('--seed <S>', 'seed of the noise', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .addOption(
      new Option('--solver <NAME>', 'default: one-step for a student, euler otherwise').choices(
        SOLVERS,
      ),
    )
    .option(
      '--steps <K>',
      `steps of euler or heun (default: ${DEFAULT_STEPS}), or of a student's own (default: all)`,
      wholeNumber(1, 10_000),
    )
    .option('--label <L>', 'class of all samples (default: each in turn)', wholeNumber(0, 99_999))
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep sample --model models/fashion/student.safetensors --count 64 --seed 1 --out fashion.png',
        'flowstep sample --model teacher.safetensors --solver heun --steps 20 --out samples.safetensors',
      ),
    )
    .action((options: SampleOptions) =>
      answer(
        io,
        options.json,
        () => sampleToFile(options, io),
        ({ file }) => [file],
      ),
    );
}

async function sampleToFile(options: SampleOptions, io: Io) {
  const write = writerFor(options.out);
  const model = await loadModel(options.model);
  const solver = options.solver ?? defaultSolver(model);
  const { count, seed, label } = options;
  const steps = options.steps ?? (solver === 'one-step' ? stepsOf(model) : DEFAULT_STEPS);
  const start = performance.now();
  const samples = await drawSamples(
    model,
    { solver, steps, seed, count, ...(label !== undefined && { label }) },
    io.signal,
  );
  const seconds = (performance.now() - start) / 1000;
  const file = resolve(options.out);
  await mkdir(dirname(file), { recursive: true });
  await write(file, samples);
  const inSteps = `${steps} step${steps === 1 ? '' : 's'}`;
  io.log.line(`${count} samples by ${solver}, ${inSteps}, in ${seconds.toFixed(2)} s`);
  return { file, count, seed, solver, steps, seconds };
}

/** As many as the student was trained for. */
function stepsOf(model: FlowModel): number {
  return model.info.student?.grid.length ?? 1;
}

function defaultSolver(model: FlowModel): Solver {
  return model.info.role === 'student' ? 'one-step' : 'euler';
}

/** By the file's extension, before any work is done. */
function writerFor(file: string): (file: string, samples: Tensor<'float32'>) => Promise<void> {
  switch (extname(file).toLowerCase()) {
    case '.png':
      return (target, samples) => writePng(target, pictureOfSamples(samples));
    case '.safetensors':
      return (target, samples) => writeSafetensors(target, new Map([['samples', samples]]));
    default:
      throw new FlowstepError('USAGE', `--out ${file}: the name must end in .png or .safetensors`);
  }
}
