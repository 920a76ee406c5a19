/** @file Models as `.safetensors` files: one tensor a parameter, what the model is in the metadata, a model card beside it. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { FlowstepError } from '../../errors.ts';
import { atomicWrite, type WriteOptions } from '../files/atomic-write.ts';
import { float16ToFloat32, float32ToFloat16 } from '../files/float16.ts';
import { sha256OfFile } from '../files/hash.ts';
import { writeLora } from '../files/lora-write.ts';
import { isOnnxPath } from '../files/onnx-declaration.ts';
import {
  readSafetensors,
  type Safetensors,
  SafetensorsFile,
  writeSafetensors,
} from '../files/safetensors.ts';
import { readSd3, type Sd3Checkpoint } from '../files/sd3-checkpoint.ts';
import { parameterList } from '../nn/network.ts';
import { type ParameterList, views } from '../nn/parameters.ts';
import { sameShape, type Tensor } from '../tensor.ts';
import { importOnnx } from './import-onnx.ts';
import { type Adapters, type FlowModel, type ModelInfo, UNKNOWN_DATASET } from './model.ts';
import { cardPath, modelCard } from './model-card.ts';
import {
  HASH_KEY,
  INFO_KEY,
  infoMetadata,
  modelMetadata,
  parseModelInfo,
} from './model-metadata.ts';
import { modelTitle } from './model-words.ts';

/** Bytes hashed before the event loop gets a turn: about 10 ms, at 1 to 2 GB/s. */
const HASH_PIECE = 1 << 24;

export interface SaveOptions extends WriteOptions {
  /** How the weights are stored; training state is not part of a model file. */
  readonly dtype?: 'float32' | 'float16';
}

/** Writes the file and its model card (`NAME.md`) atomically, the file first; of a model with adapters the adapters alone, as a LoRA. */
export async function saveModel(
  path: string,
  model: FlowModel,
  options: SaveOptions = {},
): Promise<{ sha256: string; bytes: number }> {
  const { parameters, bytes } = model.adapters
    ? await saveAdapters(path, model.info, model.adapters, options)
    : await saveWeights(path, model, options);
  const sha256 = await sha256OfFile(path);
  const card = modelCard(model.info, {
    file: basename(path),
    parameters,
    bytes,
    dtype: options.dtype ?? 'float32',
    sha256,
    date: new Date(),
  });
  await atomicWrite(cardPath(path), [new TextEncoder().encode(card)]);
  return { sha256, bytes };
}

interface Written {
  /** Elements of the flat vector. */
  readonly parameters: number;
  readonly bytes: number;
}

async function saveAdapters(
  path: string,
  info: ModelInfo,
  { config, parameters }: Adapters,
  { dtype = 'float32', replace }: SaveOptions,
): Promise<Written> {
  await writeLora(path, info.network, config, parameters, {
    title: modelTitle(info),
    dtype,
    replace,
    metadata: infoMetadata(info),
  });
  const bytes = parameters.length * (dtype === 'float32' ? 4 : 2);
  return { parameters: parameters.length, bytes };
}

async function saveWeights(path: string, model: FlowModel, options: SaveOptions): Promise<Written> {
  const list = parameterList(model.info.network);
  const tensors = new Map<string, Tensor>();
  let bytes = 0;
  for (const [name, tensor] of views(list, model.parameters)) {
    const stored: Tensor =
      options.dtype === 'float16'
        ? { dtype: 'float16', shape: tensor.shape, data: float32ToFloat16(tensor.data) }
        : tensor;
    tensors.set(name, stored);
    bytes += stored.data.byteLength;
  }
  const metadata = modelMetadata(model.info, await hashOfData(tensors));
  await writeSafetensors(path, tensors, metadata, { replace: options.replace });
  return { parameters: list.size, bytes };
}

/**
 * Reads a model of ours, an .onnx network with its declaration, or a checkpoint of Stable Diffusion 3 as a teacher. Throws MODEL_INVALID naming the file and what is
 * missing, unknown or of another shape, or both hashes when the weights are not those that were written.
 */
export async function loadModel(path: string): Promise<FlowModel> {
  if (isOnnxPath(path)) return importOnnx(path);
  if (!(await isOurs(path))) return released(await readSd3(path));
  const file = await readSafetensors(path);
  const { metadata, tensors } = file;
  const info = parseModelInfo(path, metadata);
  if (info.lora) {
    throw new FlowstepError('MODEL_INVALID', `${path} is a LoRA: it is nothing without its base`, {
      file: path,
      hint: 'Load the model that it was trained on, and name this file as its lora.',
    });
  }
  const list = parameterList(info.network);
  checkKeys(path, list, file);
  const parameters = new Float32Array(list.size);
  for (const { name, offset } of list.specs)
    parameters.set(asFloat32(path, name, tensors.get(name)!), offset);
  await checkHash(path, metadata[HASH_KEY], tensors);
  return { info, parameters };
}

async function isOurs(path: string): Promise<boolean> {
  await using file = await SafetensorsFile.open(path);
  return INFO_KEY in file.header.metadata;
}

function released({ config, form, parameters }: Sd3Checkpoint): FlowModel {
  const dataset = { name: UNKNOWN_DATASET, hash: '' };
  return { info: { role: 'teacher', network: config, dataset, training: { form } }, parameters };
}

/** sha256 of tensors of one type one after the other, as they lie in the file. */
async function hashOfData(tensors: ReadonlyMap<string, Tensor>): Promise<string> {
  const hash = createHash('sha256');
  for (const { data } of tensors.values()) {
    for (let at = 0; at < data.byteLength; at += HASH_PIECE) {
      const length = Math.min(HASH_PIECE, data.byteLength - at);
      hash.update(new Uint8Array(data.buffer, data.byteOffset + at, length));
      if (length === HASH_PIECE) await setImmediate();
    }
  }
  return hash.digest('hex');
}

/** A bit that flips in the weights leaves a file that can be read, and makes wrong pictures. */
async function checkHash(
  file: string,
  written: string | undefined,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<void> {
  if (written === undefined) return;
  const found = `0x${await hashOfData(tensors)}`;
  if (found === written) return;
  throw new FlowstepError(
    'MODEL_INVALID',
    `${file}: the weights are not those that were written: their sha256 is ${found}, the file says ${written}`,
    { file, hint: 'The file is damaged or was changed: copy it again, or make it again.' },
  );
}

function checkKeys(file: string, list: ParameterList, { tensors, raw }: Safetensors): void {
  const known = new Set(list.specs.map((s) => s.name));
  const missing = list.specs.filter((s) => !tensors.has(s.name)).map((s) => s.name);
  const unknown = [...tensors.keys(), ...raw.keys()].filter((name) => !known.has(name));
  if (missing.length || unknown.length) {
    const named = (what: string, names: readonly string[]) =>
      names.length
        ? `${what} ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`
        : '';
    const problems = [named('missing', missing), named('unknown', unknown)].filter(Boolean);
    throw new FlowstepError('MODEL_INVALID', `${file}: ${problems.join('; ')}`, { file });
  }
  for (const { name, shape } of list.specs) {
    const found = tensors.get(name)!.shape;
    if (!sameShape(found, shape)) {
      throw new FlowstepError(
        'MODEL_INVALID',
        `${file}: ${name} is [${found.join(', ')}], the network needs [${shape.join(', ')}]`,
        { file },
      );
    }
  }
}

function asFloat32(file: string, name: string, tensor: Tensor): Float32Array {
  if (tensor.dtype === 'float32') return tensor.data as Float32Array;
  if (tensor.dtype === 'float16') return float16ToFloat32(tensor.data as Uint16Array);
  throw new FlowstepError('MODEL_INVALID', `${file}: ${name} is ${tensor.dtype}`, {
    file,
    hint: 'weights are stored as float32 or float16',
  });
}
