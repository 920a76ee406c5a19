/** @file Save Flow Model: a copy of a model under a name of your own, with its model card. */
import { z } from 'zod';
import { bug } from '../errors.ts';
import { saveModel } from '../trainer/run/model-file.ts';
import { defineNode } from './define-node.ts';
import { openModel } from './flow-models.ts';
import { FlowModelSchema } from './handles.ts';
import { nextOutputFiles } from './output-files.ts';

export const saveModelNode = defineNode({
  id: 'FlowstepSaveModel',
  displayName: 'Save Flow Model',
  category: 'flowstep/models',
  description: 'Writes a model to the output folder as safetensors, with a model card beside it.',
  outputNode: true,
  inputs: z.object({
    model: FlowModelSchema.meta({ tooltip: 'The model to save.' }),
    filename_prefix: z.string().min(1).default('models/flowstep').meta({
      tooltip: 'Start of the file name; may begin with folders below the output folder.',
    }),
    dtype: z.enum(['float32', 'float16']).default('float32').meta({
      tooltip: 'float16 halves the file; float32 is exact, and what training goes on from.',
    }),
  }),
  outputs: {
    path: z.string().meta({ tooltip: 'Path of the file below the output folder.' }),
  },
  async execute({ model: handle, filename_prefix, dtype }, context) {
    const model = await openModel(handle, context);
    const { output } = context.roots;
    const [target] = await nextOutputFiles(output, filename_prefix, 'safetensors', 1);
    if (target === undefined) throw bug('no file name for the model');
    await saveModel(target.file, model, { dtype });
    return { outputs: { path: target.path }, files: [target.path] };
  },
});
