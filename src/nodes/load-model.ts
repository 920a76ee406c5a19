/** @file Load Flow Model: a model file as a FLOW_MODEL. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { defineNode } from './define-node.ts';
import { openModel } from './flow-models.ts';
import { FlowModelSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, nameFile } from './root-files.ts';

export const loadModelNode = defineNode({
  id: 'FlowstepLoadModel',
  displayName: 'Load Flow Model',
  category: 'flowstep/models',
  description: 'Takes a teacher or student that Flowstep has saved.',
  inputs: z.object({
    file: z
      .string()
      .min(1)
      .meta({
        tooltip:
          'Model file: a path below the models folder ("fashion/student.safetensors"), ' +
          'or one below the output folder ("runs/teacher/teacher.safetensors").',
      }),
  }),
  outputs: {
    model: FlowModelSchema.meta({ tooltip: 'The model; samplers and trainers take it.' }),
  },
  async execute({ file }, context) {
    const model = { type: 'FLOW_MODEL' as const, ...(await findModel(file, context)) };
    // A file that is no model must fail here, at the node that names it, not where it is used.
    await openModel(model, context);
    return { outputs: { model } };
  },
});

/** The models folder first: what a run has written there by the same name must not replace it. */
async function findModel(file: string, context: NodeContext): Promise<FileRef> {
  try {
    return await nameFile(context.roots, 'models', file);
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.code !== 'FILE_NOT_FOUND') throw error;
  }
  try {
    return await nameFile(context.roots, 'output', file);
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.code !== 'FILE_NOT_FOUND') throw error;
    const { models, output } = context.roots;
    throw new FlowstepError('FILE_NOT_FOUND', `there is no model file ${file}`, {
      field: 'file',
      hint: `It was looked for in ${models} and in ${output}.`,
      cause: error,
    });
  }
}
