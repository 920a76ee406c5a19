/** @file From handles to models in memory. */
import { FlowstepError } from '../errors.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import type { FlowModelHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { openFile } from './root-files.ts';

/** Weights that stay in memory between nodes: a graph uses a model in several, and again in the next run. */
const MAX_KEPT_BYTES = 2 ** 30;

/** By the sha256 of the file, least recently used first. Nobody writes to a model's weights. */
const kept = new Map<string, FlowModel>();

/** Reads the model that the handle names. */
export async function openModel(handle: FlowModelHandle, context: NodeContext): Promise<FlowModel> {
  const file = await openFile(context.roots, handle);
  const model = kept.get(handle.sha256) ?? (await loadModel(file));
  kept.delete(handle.sha256);
  kept.set(handle.sha256, model);
  forgetOldest();
  return model;
}

function forgetOldest(): void {
  let bytes = 0;
  for (const { parameters } of kept.values()) bytes += parameters.byteLength;
  for (const [sha256, { parameters }] of kept) {
    if (bytes <= MAX_KEPT_BYTES) return;
    kept.delete(sha256);
    bytes -= parameters.byteLength;
  }
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
