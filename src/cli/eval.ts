/** @file `flowstep eval`: a model against data, beside its teacher at several numbers of steps, without a workflow. */
import { mkdir } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import type { Command } from 'commander';
import { FlowstepError } from '../errors.ts';
import { datasetNode } from '../nodes/dataset.ts';
import { openDataset } from '../nodes/datasets.ts';
import { EvaluationFieldsSchema, evaluateNode } from '../nodes/evaluate.ts';
import {
  evaluationPlot,
  evaluationTable,
  readSolvers,
  readSteps,
  tableLines,
  words,
} from '../nodes/evaluation-table.ts';
import { readGuidance } from '../nodes/guidance-inputs.ts';
import { FlowDatasetSchema } from '../nodes/handles.ts';
import type { NodeContext } from '../nodes/node-context.ts';
import { writePng } from '../nodes/pictures/picture.ts';
import { openPrompts } from '../trainer/data/prompts.ts';
import { FeatureExtractor } from '../trainer/metrics/extractor.ts';
import { withLora } from '../trainer/run/lora-model.ts';
import { type FlowModel, type ModelInfo, UNKNOWN_DATASET } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addDatasetOptions } from './dataset-options.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { datasetOfModel, otherDataNotices } from './model-data.ts';
import { addNodeOptions, type NodeOptions } from './node-options.ts';
import { PROMPTS_OPTION } from './options.ts';
import { foundFile } from './sample.ts';
import { planData, rootsOf } from './training.ts';

interface EvalChoice {
  readonly model: string;
  readonly lora?: string;
  readonly teacher?: string;
  readonly prompts?: string;
  readonly plot?: string;
  readonly json?: boolean;
}

type Given = EvalChoice & Record<string, unknown>;

/** Adds the command to the program. */
export function addEvalCommand(program: Command, io: Io): void {
  const command = addEngineOptions(program.command('eval'))
    .description(
      'Measure a student or teacher against data, beside its teacher at several numbers of steps: scores, network evaluations and time.',
    )
    .requiredOption('--model <FILE>', 'model file (.safetensors)')
    .option('--lora <FILE>', 'LoRA for the model; one that Flowstep trained makes it a student')
    .option('--teacher <FILE>', 'a flow of many steps to set beside the model')
    .option(...PROMPTS_OPTION)
    .option('--plot <FILE>', 'write the plot of the first score (.png)')
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep eval --model output/runs/student/student.safetensors --teacher output/runs/teacher/teacher.safetensors',
        'flowstep eval --model models/fashion/student.safetensors --dataset fashion-mnist --split test --features models/fashion/features.onnx --metrics fid,recall',
        'flowstep eval --model student.safetensors --teacher teacher.safetensors --dataset checker --plot out.png --json',
      ),
    );
  const table = addNodeOptions(command, { node: evaluateNode, heading: 'Evaluation' });
  const data = addDatasetOptions(
    command,
    "the model's own, if it is points, Fashion-MNIST or CIFAR-10",
  );
  command.action((given: Given) =>
    answer(
      io,
      given.json,
      () => evaluate(given, table, data, io),
      (report) => [...tableLines(report), ...(report.plot ? [report.plot] : [])],
    ),
  );
}

async function evaluate(given: Given, table: NodeOptions, data: NodeOptions, io: Io) {
  const plot = plotFile(given.plot);
  const { features, ...fields } = EvaluationFieldsSchema.parse(table.values(given));
  const [steps, solvers] = [readSteps(fields.steps), readSolvers(fields.solvers)];
  const model = await openModel(given, io);
  const teacher = await openTeacher(given.teacher, io);
  const prompts =
    given.prompts === undefined
      ? undefined
      : await openPrompts(given.prompts, foundFile(given.prompts, io));
  const context: NodeContext = {
    roots: rootsOf({}, io),
    signal: io.signal,
    onProgress: ({ counts, step, steps }) => io.log.status(`${counts} ${step}/${steps}`),
  };
  const trained = model.info.dataset;
  const dataset = await openData(given, data, trained, context, io);
  using extractor = features ? await FeatureExtractor.open(foundFile(features, io)) : undefined;
  const report = await evaluationTable(
    {
      ...{ ...fields, model, teacher, dataset, extractor, prompts, steps, solvers },
      guidance: readGuidance(fields),
      metrics: words(fields.metrics),
    },
    context,
  );
  io.log.status('');
  const notices = [...otherDataNotices(trained, dataset), ...report.notices];
  for (const notice of notices) io.log.line(`note: ${notice}`);
  if (plot !== undefined) {
    await mkdir(dirname(plot), { recursive: true });
    await writePng(plot, evaluationPlot(report));
  }
  return { ...report, notices, ...(plot !== undefined && { plot }) };
}

async function openModel({ model, lora }: Given, io: Io): Promise<FlowModel> {
  const base = await loadModel(foundFile(model, io));
  return lora === undefined ? base : withLora(base, foundFile(lora, io), 1);
}

async function openTeacher(file: string | undefined, io: Io): Promise<FlowModel | undefined> {
  if (file === undefined) return undefined;
  const teacher = await loadModel(foundFile(file, io));
  if (teacher.info.role === 'teacher') return teacher;
  throw new FlowstepError('USAGE', `--teacher ${file} is a ${teacher.info.role}`, {
    hint: 'Name a flow of many steps, or leave --teacher out.',
  });
}

/** The data set that the options of Flow Dataset name, otherwise the model's own. */
async function openData(
  given: Given,
  data: NodeOptions,
  trained: ModelInfo['dataset'],
  context: NodeContext,
  io: Io,
) {
  const usual = datasetOfModel(trained);
  const { dataset, roots } = planData(data, given, { usual }, context.roots, io);
  if (!dataset) throw withoutData(trained);
  const there = { ...context, roots, onNotice: (message: string) => io.log.line(message) };
  const { outputs } = await datasetNode.run(dataset.values, there);
  return openDataset(FlowDatasetSchema.parse(outputs['dataset']), there);
}

function withoutData({ name }: ModelInfo['dataset']): FlowstepError {
  const on = name === UNKNOWN_DATASET ? 'does not say what it was trained on' : `is of ${name}`;
  return new FlowstepError('USAGE', `--dataset is missing: the model ${on}`, {
    hint: 'Name what to compare with: --folder DIR --size N with the side of the pictures, --latents FILE, or --dataset.',
  });
}

/** Before any work is done. */
function plotFile(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  if (extname(file).toLowerCase() === '.png') return resolve(file);
  throw new FlowstepError('USAGE', `--plot ${file}: the name must end in .png`);
}
