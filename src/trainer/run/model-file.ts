/** @file Models as `.safetensors` files: one tensor a parameter, what the model is in the metadata, a model card beside it. */
import { FlowstepError } from '../../errors.ts';
import { atomicWrite } from '../files/atomic-write.ts';
import { float16ToFloat32, float32ToFloat16 } from '../files/float16.ts';
import { sha256OfFile } from '../files/hash.ts';
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { parameterList } from '../nn/network.ts';
import { type ParameterList, views } from '../nn/parameters.ts';
import { sameShape, type Tensor } from '../tensor.ts';
import { type FlowModel, type ModelInfo, ModelInfoSchema } from './model.ts';
import { modelCard } from './model-card.ts';

/** Metadata keys of our own; the rest follows https://github.com/Stability-AI/ModelSpec. */
const INFO_KEY = 'flowstep.model';
const FORMAT_KEY = 'flowstep.format';
const FORMAT = '1';

export interface SaveOptions {
  /** How the weights are stored; training state is not part of a model file. */
  readonly dtype?: 'float32' | 'float16';
}

/** Writes the file and its model card (`NAME.md`) atomically. */
export async function saveModel(
  path: string,
  model: FlowModel,
  options: SaveOptions = {},
): Promise<{ sha256: string; bytes: number }> {
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
  await writeSafetensors(path, tensors, metadata(model.info));
  const sha256 = await sha256OfFile(path);
  const card = modelCard(model.info, { parameters: list.size, bytes, sha256 });
  const cardPath = path.replace(/(\.safetensors)?$/, '.md');
  await atomicWrite(cardPath, [new TextEncoder().encode(card)]);
  return { sha256, bytes };
}

/** Reads a model; throws MODEL_INVALID naming the file and what is missing, unknown or of another shape. */
export async function loadModel(path: string): Promise<FlowModel> {
  const { metadata: meta, tensors } = await readSafetensors(path);
  const info = parseInfo(path, meta[INFO_KEY], meta[FORMAT_KEY]);
  const list = parameterList(info.network);
  checkKeys(path, list, tensors);
  const parameters = new Float32Array(list.size);
  for (const { name, offset } of list.specs)
    parameters.set(asFloat32(path, name, tensors.get(name)!), offset);
  return { info, parameters };
}

function metadata(info: ModelInfo): Record<string, string> {
  return {
    [FORMAT_KEY]: FORMAT,
    [INFO_KEY]: JSON.stringify(info),
    'modelspec.sai_model_spec': '1.0.0',
    'modelspec.architecture': info.network.kind,
    'modelspec.implementation': 'flowstep',
    'modelspec.title': `${info.role} on ${info.dataset.name}`,
  };
}

function parseInfo(file: string, text: string | undefined, format: string | undefined): ModelInfo {
  if (text === undefined) {
    throw new FlowstepError(
      'MODEL_INVALID',
      `${file} is not a Flowstep model: no key ${INFO_KEY}`,
      {
        file,
        hint: 'load a file that Save Flow Model or a training node wrote',
      },
    );
  }
  if (format !== FORMAT) {
    throw new FlowstepError('MODEL_INVALID', `${file} has model format ${format}, not ${FORMAT}`, {
      file,
      hint: 'use the version of flowstep that wrote it',
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FlowstepError('MODEL_INVALID', `${file}: ${INFO_KEY} is not JSON`, { file, cause });
  }
  const parsed = ModelInfoSchema.safeParse(json);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ message, path }) => ({
      message,
      field: path.join('.'),
    }));
    const what = issues.map((i) => `${i.field}: ${i.message}`).join('; ');
    throw new FlowstepError('MODEL_INVALID', `${file}: ${INFO_KEY}: ${what}`, { file, issues });
  }
  return parsed.data;
}

function checkKeys(file: string, list: ParameterList, tensors: ReadonlyMap<string, Tensor>): void {
  const known = new Set(list.specs.map((s) => s.name));
  const missing = list.specs.filter((s) => !tensors.has(s.name)).map((s) => s.name);
  const unknown = [...tensors.keys()].filter((name) => !known.has(name));
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
