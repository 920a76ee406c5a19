/** @file An .onnx network as a model: what Load Flow Model gives for it. */
import { basename } from 'node:path';
import { openOnnxNetwork, readOnnxWeights } from '../files/onnx-model.ts';
import { type FlowModel, type ModelInfo, UNKNOWN_DATASET } from './model.ts';
import { INFO_KEY, parseModelInfo } from './model-metadata.ts';

/** Reads a network with its declaration. Throws MODEL_INVALID naming all that is wrong with it, before any weight is read. */
export async function importOnnx(path: string): Promise<FlowModel> {
  const network = await openOnnxNetwork(path);
  const { config, declaration, metadata } = network;
  const info: ModelInfo =
    metadata[INFO_KEY] === undefined
      ? {
          role: 'teacher',
          network: config,
          dataset: { name: declaration.dataset ?? UNKNOWN_DATASET, hash: '' },
          training: { source: basename(path) },
        }
      : { ...parseModelInfo(path, metadata), network: config };
  return { info, parameters: await readOnnxWeights(path, network) };
}
