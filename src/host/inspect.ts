/** @file What a file or run folder is and holds, as data. */
import { readFile } from 'node:fs/promises';
import { readError } from '../trainer/files/read-error.ts';
import { type OnnxSummary, summariseOnnx } from '../trainer/graph/onnx-summary.ts';
import { fileKind, meantPath } from './file-kind.ts';
import { inspectRun, type RunInspection } from './inspect-run.ts';
import { inspectSafetensors, type SafetensorsInspection } from './inspect-safetensors.ts';
import {
  inspectPicture,
  inspectWorkflow,
  type PictureInspection,
  type Surroundings,
  type WorkflowInspection,
} from './inspect-workflow.ts';

export interface OnnxInspection extends OnnxSummary {
  readonly kind: 'onnx';
  readonly file: string;
  readonly bytes: number;
}

export type Inspection =
  | RunInspection
  | SafetensorsInspection
  | WorkflowInspection
  | PictureInspection
  | OnnxInspection;

/** Reads as little as tells what the file holds; throws when it is not what its content says. */
export async function inspect(path: string, around: Surroundings): Promise<Inspection> {
  const file = meantPath(path);
  switch (await fileKind(file)) {
    case 'run':
      return inspectRun(file);
    case 'safetensors':
      return inspectSafetensors(file);
    case 'workflow':
      return inspectWorkflow(file, around);
    case 'picture':
      return inspectPicture(file, around);
    case 'onnx':
      return inspectOnnx(file);
  }
}

/** Throws FILE_FORMAT when it is no ONNX model or a damaged one. */
export async function inspectOnnx(file: string): Promise<OnnxInspection> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readError(file, error);
  });
  return { kind: 'onnx', file, bytes: bytes.length, ...summariseOnnx(bytes, file) };
}
