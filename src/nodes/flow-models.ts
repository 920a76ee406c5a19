/** @file From handles to models in memory. */
import { FlowstepError } from '../errors.ts';
import { withLora } from '../trainer/run/lora-model.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import type { FlowModelHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { openFile, openModelFile } from './root-files.ts';

/** Weights that stay in memory between nodes: a graph uses a model in several, and again in the next run. */
const MAX_KEPT_BYTES = 2 ** 30;

/** By `modelKey`, least recently used first. Nobody writes to a model's weights. */
const kept = new Map<string, FlowModel>();

/** What a handle's model is made of: the same text, the same weights. */
export function modelKey({ sha256, declaration, loras = [] }: FlowModelHandle): string {
  const file = declaration === undefined ? sha256 : `${sha256}:${declaration}`;
  return [file, ...loras.map(({ file, strength }) => `${file.sha256}*${strength}`)].join('+');
}

/** Reads the model that the handle names. Models that differ in adapters alone share their base's weights. */
export async function openModel(handle: FlowModelHandle, context: NodeContext): Promise<FlowModel> {
  const file = await openModelFile(context.roots, handle);
  const key = modelKey(handle);
  const model = kept.get(key) ?? (await readModel(handle, file, context));
  kept.delete(key);
  kept.set(key, model);
  forgetOldest();
  return model;
}

async function readModel(
  { loras = [], ...handle }: FlowModelHandle,
  file: string,
  context: NodeContext,
): Promise<FlowModel> {
  const last = loras.at(-1);
  if (!last) return loadModel(file);
  const before = loras.slice(0, -1);
  const base = await openModel({ ...handle, ...(before.length && { loras: before }) }, context);
  return withLora(base, await openFile(context.roots, last.file), last.strength);
}

function forgetOldest(): void {
  for (const key of kept.keys()) {
    if (keptBytes() <= MAX_KEPT_BYTES) return;
    kept.delete(key);
  }
}

function keptBytes(): number {
  const vectors = new Set<Float32Array>();
  for (const { parameters, adapters } of kept.values()) {
    vectors.add(parameters);
    if (adapters) vectors.add(adapters.parameters);
  }
  let bytes = 0;
  for (const { byteLength } of vectors) bytes += byteLength;
  return bytes;
}

/** Reads a model that must be a teacher. */
export async function openTeacher(
  handle: FlowModelHandle,
  context: NodeContext,
): Promise<FlowModel> {
  const model = await openModel(handle, context);
  if (model.info.role !== 'teacher') {
    throw new FlowstepError(
      'MODEL_INVALID',
      `${handle.path} is a ${model.info.role}, not a teacher`,
      {
        field: 'teacher',
        hint: 'Distillation starts from a flow of many steps: Train Flow Teacher makes one.',
      },
    );
  }
  return model;
}
