/** @file `flowstep sample`: samples of a model file, without a workflow. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { readRoots } from '../config.ts';
import { FlowstepError } from '../errors.ts';
import { type DrawRequest, drawInParts, drawSamples, lookOf } from '../nodes/draw-samples.ts';
import { readGuidance } from '../nodes/guidance-inputs.ts';
import type { RunningWorkflow } from '../nodes/node-context.ts';
import { pngWithWorkflow } from '../nodes/pictures/png-workflow.ts';
import { openPrompts } from '../trainer/data/prompts.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { makeFolder } from '../trainer/files/make-folder.ts';
import { writeSafetensors } from '../trainer/files/safetensors.ts';
import { sampleShape } from '../trainer/nn/config.ts';
import { withLora } from '../trainer/run/lora-model.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { SOLVERS, type Solver } from '../trainer/run/sample-request.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { PROMPTS_OPTION, realNumber, wholeNumber } from './options.ts';
import {
  pictureOf,
  requireShown,
  type SampleTarget,
  targetOf,
  writePictures,
} from './sample-output.ts';
import { sampleWorkflow } from './sample-workflow.ts';

interface SampleOptions {
  readonly model: string;
  readonly out: string;
  readonly count: number;
  readonly seed: number;
  readonly solver?: Solver;
  readonly steps?: number;
  readonly label?: number;
  readonly lora?: string;
  readonly strength?: number;
  readonly prompts?: string;
  readonly cfg?: number;
  readonly cfgTMax?: number;
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
      '--out <PATH>',
      '.png for one picture, of several samples a grid; a folder (one that is there, or a name with a slash at its end) for a picture of each; .safetensors for one tensor named "samples"',
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
    .option(
      '--label <L>',
      'class of all samples, or number of their prompt (default: each in turn)',
      wholeNumber(0, 99_999),
    )
    .option('--lora <FILE>', 'LoRA for the model; one that Flowstep trained makes it a student')
    .option('--strength <X>', 'how much of the LoRA is added (default: 1)', realNumber(-10, 10))
    .option(...PROMPTS_OPTION)
    .option(
      '--cfg <X>',
      'classifier-free guidance, for euler and heun (default: 1, none)',
      realNumber(1, 100),
    )
    .option(
      '--cfg-t-max <T>',
      'latest time with guidance (default: 1, all times)',
      realNumber(0, 1),
    )
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep sample --model models/fashion/student.safetensors --count 64 --seed 1 --out fashion.png',
        'flowstep sample --model models/fashion/student.safetensors --count 5000 --out pictures/',
        'flowstep sample --model teacher.safetensors --solver heun --steps 20 --out samples.safetensors',
        'flowstep sample --model sd3.5_medium.safetensors --lora fox.safetensors --prompts prompts.safetensors --count 4 --out latents.safetensors',
      ),
    )
    .action((options: SampleOptions) =>
      answer(
        io,
        options.json,
        () => sampleTo(options, io),
        (made) => ('files' in made ? made.files : [made.file]),
      ),
    );
}

async function sampleTo(options: SampleOptions, io: Io) {
  const target = targetOf(options.out);
  const model = await openModel(options, io);
  const shape = sampleShape(model.info.network);
  requireShown(target, shape);
  const solver = options.solver ?? defaultSolver(model);
  const { count, seed, label, cfg = 1, cfgTMax = 1 } = options;
  refuseGuidance(solver, options);
  const prompts = await openPromptFile(options, io);
  const steps = options.steps ?? (solver === 'one-step' ? stepsOf(model) : DEFAULT_STEPS);
  const request: DrawRequest = {
    solver,
    steps,
    seed,
    count,
    prompts,
    ...(label !== undefined && { label }),
    guidance: readGuidance({ cfg, cfg_t_max: cfgTMax }),
  };
  const isGrid = target.kind === 'picture' && count > 1 && lookOf(shape) === 'pictures';
  const drawn = { ...pathsOf(options, io), solver, steps, seed, count, label, cfg, cfgTMax };
  const workflow =
    target.kind === 'tensor' ? undefined : await sampleWorkflow({ ...drawn, isGrid }, io);
  const start = performance.now();
  const written = await write(target, model, request, workflow, io);
  const seconds = (performance.now() - start) / 1000;
  const inSteps = `${steps} step${steps === 1 ? '' : 's'}`;
  io.log.line(`${count} samples by ${solver}, ${inSteps}, in ${seconds.toFixed(2)} s`);
  return { ...written, count, seed, solver, steps, seconds };
}

/** What was written: one file, or those in a folder. */
type Written = { readonly file: string } | { readonly folder: string; readonly files: string[] };

async function write(
  { kind, path }: SampleTarget,
  model: FlowModel,
  request: DrawRequest,
  workflow: RunningWorkflow | undefined,
  io: Io,
): Promise<Written> {
  if (kind === 'folder') {
    const parts = drawInParts(model, request, io.signal);
    const files = await writePictures(path, parts, workflow, (done) =>
      io.log.status(`${done} of ${request.count} samples`),
    );
    io.log.status('');
    return { folder: path, files };
  }
  const samples = await drawSamples(model, request, io.signal);
  await makeFolder(dirname(path));
  if (kind === 'tensor') await writeSafetensors(path, new Map([['samples', samples]]));
  else await atomicWrite(path, [await pngWithWorkflow(pictureOf(samples), workflow)]);
  return { file: path };
}

/** The files that were named, where they are. */
function pathsOf({ model, lora, strength, prompts }: SampleOptions, io: Io) {
  const found = (path: string | undefined) => (path === undefined ? path : foundFile(path, io));
  return { model: foundFile(model, io), lora: found(lora), strength, prompts: found(prompts) };
}

async function openModel({ model: file, lora, strength }: SampleOptions, io: Io) {
  if (lora === undefined && strength !== undefined) {
    throw new FlowstepError('USAGE', '--strength needs --lora', {
      hint: 'Name the LoRA, or leave its strength out.',
    });
  }
  const model = await loadModel(foundFile(file, io));
  return lora === undefined ? model : withLora(model, foundFile(lora, io), strength ?? 1);
}

async function openPromptFile({ prompts }: SampleOptions, io: Io) {
  return prompts === undefined ? undefined : openPrompts(prompts, foundFile(prompts, io));
}

/** Model cards name files below the folders of models, output and data; a path that is there as it stands comes first. */
export function foundFile(path: string, { environment }: Io): string {
  if (existsSync(path)) return path;
  const { models, moreModels = [], output, data } = readRoots(environment);
  const places = [models, ...moreModels, output, data].map((folder) => join(folder, path));
  return places.find((place) => existsSync(place)) ?? path;
}

function refuseGuidance(solver: Solver, { cfg, cfgTMax }: SampleOptions): void {
  if (cfgTMax !== undefined && cfg === undefined) {
    throw new FlowstepError('USAGE', '--cfg-t-max needs --cfg', {
      hint: 'Say how much guidance there is up to that time, or leave it out.',
    });
  }
  if (solver !== 'one-step' || cfg === undefined || cfg === 1) return;
  throw new FlowstepError(
    'USAGE',
    '--cfg is for euler and heun: a student has its guidance built in',
    {
      hint: 'Leave --cfg out, or distil with another one.',
    },
  );
}

/** As many as the student was trained for. */
function stepsOf(model: FlowModel): number {
  return model.info.student?.grid.length ?? 1;
}

function defaultSolver(model: FlowModel): Solver {
  return model.info.role === 'student' ? 'one-step' : 'euler';
}
