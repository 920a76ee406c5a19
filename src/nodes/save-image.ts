/** @file Save Image, under ComfyUI's own name, so that one workflow runs there and here. */
import { z } from 'zod';
import { defineNode } from './define-node.ts';
import { ImageSchema } from './handles.ts';
import { throwIfAborted } from './node-context.ts';
import { nextOutputFiles } from './output-files.ts';
import { imageTensorToPictures, writePng } from './pictures/picture.ts';

export const saveImageNode = defineNode({
  id: 'SaveImage',
  displayName: 'Save Image',
  category: 'image',
  description: 'Writes pictures to the output folder as PNG.',
  outputNode: true,
  inputs: z.object({
    images: ImageSchema.meta({ tooltip: 'The pictures to save.' }),
    filename_prefix: z.string().min(1).default('Flowstep').meta({
      tooltip: 'Start of the file names; may begin with folders below the output folder.',
    }),
  }),
  outputs: {},
  async execute({ images, filename_prefix }, context) {
    const pictures = imageTensorToPictures(images);
    const { output } = context.roots;
    const files = await nextOutputFiles(output, filename_prefix, 'png', pictures.length);
    for (const [i, { file }] of files.entries()) {
      throwIfAborted(context.signal);
      await writePng(file, pictures[i]!);
    }
    return { outputs: {}, files: files.map((f) => f.path) };
  },
});
