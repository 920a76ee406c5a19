/** @file From handles to models in memory. */
import { FlowstepError } from '../errors.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import type { FlowModelHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { openFile } from './root-files.ts';

/** Reads the model that the handle names. */
export async function openModel(handle: FlowModelHandle, context: NodeContext): Promise<FlowModel> {
  return loadModel(await openFile(context.roots, handle));
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
