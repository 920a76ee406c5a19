/** @file What a file or run folder is and holds, as data. */
import { readFile } from 'node:fs/promises';
import { FlowstepError } from '../errors.ts';
import { findDeclaration } from '../trainer/files/onnx-declaration.ts';
import { openOnnxNetwork } from '../trainer/files/onnx-model.ts';
import { readError } from '../trainer/files/read-error.ts';
import { type OnnxSummary, summariseOnnx } from '../trainer/graph/onnx-summary.ts';
import { parseModel } from '../trainer/graph/onnx-tensors.ts';
import { parameterList } from '../trainer/nn/network.ts';
import { onnxSummary } from '../trainer/nn/onnx-network.ts';
import type { Shape } from '../trainer/tensor.ts';
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
  /** What it is as a network, where that is declared. */
  readonly network?: NetworkInspection;
  /** What Flowstep has exported that is no network. */
  readonly exported?: 'sampler';
  /** What is wrong with it as the network that is declared. */
  readonly notLoadable?: string;
}

interface NetworkInspection extends ReturnType<typeof onnxSummary> {
  readonly elements: number;
  readonly weights: readonly { readonly name: string; readonly shape: Shape }[];
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
  const { notTrainable, ...summary } = summariseOnnx(bytes, file);
  const found = await inspectNetwork(file, bytes);
  return {
    kind: 'onnx',
    file,
    bytes: bytes.length,
    ...found,
    ...summary,
    // The batch of a network or sampler is open, which is no fault of it.
    ...(notTrainable !== undefined && !found.network && !found.exported && { notTrainable }),
  };
}

async function inspectNetwork(
  file: string,
  bytes: Uint8Array,
): Promise<Pick<OnnxInspection, 'network' | 'exported' | 'notLoadable'>> {
  try {
    const declaration = await findDeclaration(file, parseModel(bytes, file));
    if (!declaration) return {};
    if (declaration.graph === 'sampler') return { exported: 'sampler' };
    const { config } = await openOnnxNetwork(file);
    const { specs, size } = parameterList(config);
    const weights = specs.map(({ name, shape }) => ({ name, shape }));
    return { network: { ...onnxSummary(config), elements: size, weights } };
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.code !== 'MODEL_INVALID') throw error;
    return { notLoadable: error.message };
  }
}
