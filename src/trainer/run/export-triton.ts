/** @file A model repository of NVIDIA's Triton Inference Server around an exported model. */
import { basename, dirname, join, resolve } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { atomicWrite } from '../files/atomic-write.ts';
import { makeFolder, makeNewFolder } from '../files/make-folder.ts';
import type { DType } from '../tensor.ts';
import {
  type ExportedOnnx,
  type ExportedPort,
  type OnnxExportOptions,
  writeOnnx,
} from './export-onnx.ts';
import type { FlowModel } from './model.ts';

export interface TritonOptions extends OnnxExportOptions {
  /** Most samples of a request, or of requests that are run together. */
  readonly maxBatch?: number;
}

const DEFAULT_MAX_BATCH = 64;

/** How long a request waits for others to be run with it: less than a person notices. */
const QUEUE_DELAY_MICROSECONDS = 1000;

/**
 * Writes `folder/config.pbtxt` and `folder/1/model.onnx`; the folder's name is the model's, the one above it the repository.
 * Throws as exporting does, and VALUE_OUT_OF_RANGE for a name that Triton does not take.
 */
export async function writeTriton(
  folder: string,
  model: FlowModel,
  options: TritonOptions = {},
): Promise<ExportedOnnx> {
  const name = basename(resolve(folder));
  if (!/^[\w.-]+$/.test(name)) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `${JSON.stringify(name)} is no name for a model`,
      {
        field: 'out',
        hint: 'Use letters, digits, _, - and . alone.',
      },
    );
  }
  const onnxFile = join(folder, '1', 'model.onnx');
  const configFile = join(folder, 'config.pbtxt');
  if (options.replace === false) await makeNewFolder(folder);
  await makeFolder(dirname(onnxFile));
  const exported = await writeOnnx(onnxFile, model, options);
  const config = tritonConfig(name, exported, options.maxBatch ?? DEFAULT_MAX_BATCH);
  await atomicWrite(configFile, [new TextEncoder().encode(config)]);
  return { ...exported, files: [configFile, ...exported.files] };
}

/** The text of a config.pbtxt. */
export function tritonConfig(
  name: string,
  { inputs, outputs }: Pick<ExportedOnnx, 'inputs' | 'outputs'>,
  maxBatch: number,
): string {
  return `name: "${name}"
backend: "onnxruntime"
max_batch_size: ${maxBatch}
${ports('input', inputs)}
${ports('output', outputs)}
dynamic_batching {
  max_queue_delay_microseconds: ${QUEUE_DELAY_MICROSECONDS}
}
`;
}

const TYPES: Partial<Record<DType, string>> = { float32: 'TYPE_FP32', int64: 'TYPE_INT64' };

function ports(kind: 'input' | 'output', list: readonly ExportedPort[]): string {
  const entries = list.map(({ name, dtype, shape }) => {
    const lines = [
      `name: "${name}"`,
      `data_type: ${TYPES[dtype]}`,
      `dims: [ ${(shape.length > 0 ? shape : [1]).join(', ')} ]`,
    ];
    // One number a sample: Triton has no dims without an axis, so the model's shape is told apart.
    if (shape.length === 0) lines.push('reshape { shape: [ ] }');
    return `  {\n${lines.map((line) => `    ${line}`).join('\n')}\n  }`;
  });
  return `${kind} [\n${entries.join(',\n')}\n]`;
}
