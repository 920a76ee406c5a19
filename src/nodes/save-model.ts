/** @file Save Flow Model: a copy of a model under a name of your own, with its model card. */
import { z } from 'zod';
import { saveModel } from '../trainer/run/model-file.ts';
import { defineNode } from './define-node.ts';
import { openModel } from './flow-models.ts';
import { FlowModelSchema } from './handles.ts';
import { freeNames, writeNew } from './output-files.ts';
import { saveLora } from './save-lora.ts';
import { saveOnnx } from './save-onnx.ts';

export const saveModelNode = defineNode({
  id: 'FlowstepSaveModel',
  displayName: 'Save Flow Model',
  category: 'flowstep/models',
  description:
    'Writes a model to the output folder: as safetensors with a model card beside it, as a LoRA, or as ONNX for other programs.',
  searchAliases: ['save checkpoint', 'export onnx', 'save lora', 'triton'],
  outputNode: true,
  inputs: z.object({
    model: FlowModelSchema.meta({ tooltip: 'The model to save.' }),
    filename_prefix: z.string().min(1).default('models/flowstep').meta({
      tooltip: 'Start of the file name; may begin with folders below the output folder.',
    }),
    dtype: z.enum(['float32', 'float16']).default('float32').meta({
      tooltip: 'float16 halves the file; float32 is exact, and what training goes on from.',
    }),
    format: z.enum(['safetensors', 'comfyui-lora', 'onnx', 'triton']).default('safetensors').meta({
      tooltip:
        "safetensors: a model for Flowstep's nodes. comfyui-lora: a LoRA student of Stable Diffusion 3 for ComfyUI's own samplers, below loras/ where they find it, with the workflow that runs it beside it. onnx: one .onnx from noise to samples (of a teacher: its velocity) for any batch. triton: a folder with it for NVIDIA's Triton Inference Server.",
    }),
  }),
  outputs: {
    path: z.string().meta({ tooltip: 'Path of the file below the output folder.' }),
  },
  async execute({ model: handle, filename_prefix, dtype, format }, context) {
    const model = await openModel(handle, context);
    if (format === 'comfyui-lora') {
      const { path, files } = await saveLora(model, handle, filename_prefix, { dtype }, context);
      return { outputs: { path }, files };
    }
    if (format !== 'safetensors') {
      const { path, files } = await saveOnnx(model, format, filename_prefix, { dtype }, context);
      return { outputs: { path }, files };
    }
    const { output } = context.roots;
    const names = await freeNames(output, filename_prefix, 'safetensors');
    return writeNew(names, async ({ file, path }) => {
      await saveModel(file, model, { dtype, replace: false });
      return { outputs: { path }, files: [path] };
    });
  },
});
