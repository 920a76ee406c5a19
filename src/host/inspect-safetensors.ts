/** @file What a safetensors file holds: a model, a checkpoint or anything else, without reading the weights. */
import { stat } from 'node:fs/promises';
import { readSafetensorsHeader } from '../trainer/files/safetensors.ts';
import type { FileDtype } from '../trainer/files/safetensors-header.ts';
import { sampleShape } from '../trainer/nn/config.ts';
import { onnxSummary } from '../trainer/nn/onnx-network.ts';
import {
  CHECKPOINT_KEY,
  type CheckpointInfo,
  parseCheckpointInfo,
} from '../trainer/run/checkpoint.ts';
import type { ModelInfo } from '../trainer/run/model.ts';
import { INFO_KEY, parseModelInfo } from '../trainer/run/model-metadata.ts';
import { modelDescription, modelTitle } from '../trainer/run/model-words.ts';
import { type Shape, sizeOf } from '../trainer/tensor.ts';

interface Contents {
  readonly file: string;
  readonly bytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** Elements of all tensors. */
  readonly elements: number;
  /** Number of tensors by element type. */
  readonly dtypes: Readonly<Partial<Record<FileDtype, number>>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: FileDtype;
    readonly shape: Shape;
  }[];
}

export type SafetensorsInspection =
  | (Contents & { readonly kind: 'safetensors' })
  | (Contents & { readonly kind: 'checkpoint'; readonly checkpoint: CheckpointInfo })
  | (Contents & {
      readonly kind: 'model';
      readonly title: string;
      readonly description: string;
      readonly sampleShape: Shape;
      readonly model: ModelInfo;
    });

/** Throws as opening the file does, and MODEL_INVALID or CHECKPOINT_INVALID for one that says it is such and is none. */
export async function inspectSafetensors(file: string): Promise<SafetensorsInspection> {
  const contents = await readContents(file);
  const { metadata } = contents;
  // Members are shown in this order.
  const head = { file, bytes: contents.bytes };
  if (metadata[CHECKPOINT_KEY] !== undefined) {
    const checkpoint = parseCheckpointInfo(file, metadata[CHECKPOINT_KEY]);
    return { kind: 'checkpoint', ...head, checkpoint, ...contents };
  }
  if (metadata[INFO_KEY] === undefined) return { kind: 'safetensors', ...contents };
  const model = parseModelInfo(file, metadata);
  return {
    kind: 'model',
    ...head,
    title: modelTitle(model),
    description: modelDescription(model),
    sampleShape: sampleShape(model.network),
    model: shown(model),
    ...contents,
  };
}

/** A graph in base64 says nothing to anybody. */
function shown(model: ModelInfo): ModelInfo {
  const { network } = model;
  if (network.kind !== 'onnx') return model;
  return { ...model, network: { ...network, graph: `${onnxSummary(network).nodes} nodes` } };
}

async function readContents(file: string): Promise<Contents> {
  const header = await readSafetensorsHeader(file);
  const { size } = await stat(file);
  const tensors = [...header.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const dtypes: Partial<Record<FileDtype, number>> = {};
  for (const { dtype } of tensors) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  return {
    file,
    bytes: size,
    metadata: header.metadata,
    elements: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    dtypes,
    tensors,
  };
}
