/** @file `flowstep export`: a model for other programs. */
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { FlowstepError } from '../errors.ts';
import {
  DEFAULT_TOKENS,
  EXPORTED_GRAPHS,
  type ExportedGraph,
  type ExportedOnnx,
  writeOnnx,
} from '../trainer/run/export-onnx.ts';
import { writeTriton } from '../trainer/run/export-triton.ts';
import { withLora } from '../trainer/run/lora-model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface ExportOptions {
  readonly format: 'onnx' | 'triton';
  readonly out: string;
  readonly graph?: ExportedGraph;
  readonly dtype: 'float32' | 'float16';
  readonly lora?: string;
  readonly tokens?: number;
  readonly maxBatch?: number;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function addExportCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('export'))
    .description(
      'Write a model as ONNX, for any batch: a student from noise to samples, another model as its velocity.',
    )
    .argument('<model>', 'model file (.safetensors, or .onnx with its declaration)')
    .addOption(
      new Option('--format <NAME>', "onnx, or a folder for NVIDIA's Triton Inference Server")
        .choices(['onnx', 'triton'])
        .default('onnx'),
    )
    .requiredOption(
      '--out <PATH>',
      'the .onnx file; for triton a folder below the model repository, its name is the name of the model',
    )
    .addOption(
      new Option(
        '--graph <NAME>',
        'default: sampler for a student, velocity for other models',
      ).choices(EXPORTED_GRAPHS),
    )
    .addOption(
      new Option('--dtype <TYPE>', 'how weights are stored; it is computed in float32')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .option('--lora <FILE>', 'LoRA that is merged into the model')
    .option(
      '--tokens <N>',
      `length of texts, for networks that take any (default: ${DEFAULT_TOKENS})`,
      wholeNumber(1, 65_536),
    )
    .option(
      '--max-batch <N>',
      'most samples that Triton runs at once (default: 64)',
      wholeNumber(1, 65_536),
    )
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep export models/fashion/student.safetensors --out student.onnx',
        'flowstep export models/fashion/student.safetensors --format triton --out repository/fashion',
        'flowstep export models/fashion/teacher.safetensors --dtype float16 --out velocity.onnx',
      ),
    )
    .action((model: string, options: ExportOptions) =>
      answer(io, options.json, () => exportModel(model, options), lines),
    );
}

async function exportModel(path: string, options: ExportOptions): Promise<ExportedOnnx> {
  const { format, dtype, graph, lora, tokens, maxBatch } = options;
  const file = resolve(options.out);
  if (format === 'onnx' && !/\.onnx$/i.test(file)) {
    throw new FlowstepError('USAGE', `--out ${options.out}: the name must end in .onnx`);
  }
  if (format === 'onnx' && maxBatch !== undefined) {
    throw new FlowstepError('USAGE', '--max-batch is for --format triton');
  }
  const base = await loadModel(path);
  const model = lora === undefined ? base : await withLora(base, lora, 1);
  await mkdir(dirname(file), { recursive: true });
  const wanted = { dtype, ...(graph && { graph }), ...(tokens !== undefined && { tokens }) };
  return format === 'onnx'
    ? writeOnnx(file, model, wanted)
    : writeTriton(file, model, { ...wanted, ...(maxBatch !== undefined && { maxBatch }) });
}

function lines({ files, graph, inputs, outputs }: ExportedOnnx): string[] {
  const port = ({ name, dtype, shape }: ExportedOnnx['inputs'][number]) =>
    `${name} ${dtype}[${['batch', ...shape].join(', ')}]`;
  return [...files, `${graph}: ${inputs.map(port).join(', ')} -> ${outputs.map(port).join(', ')}`];
}
