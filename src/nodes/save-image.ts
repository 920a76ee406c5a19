/** @file Save Image, under ComfyUI's own name, so that one workflow runs in both, and a picture saved by one opens in the other. */
import { z } from 'zod';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { defineNode } from './define-node.ts';
import { fillPrefix } from './filename-prefix.ts';
import { ImageSchema } from './handles.ts';
import { throwIfAborted } from './node-context.ts';
import { freeNames, writeNew } from './output-files.ts';
import { imageTensorToPictures } from './pictures/picture.ts';
import { pngWithWorkflow } from './pictures/png-workflow.ts';

export const saveImageNode = defineNode({
  id: 'SaveImage',
  displayName: 'Save Image',
  category: 'image',
  description:
    'Writes pictures to the output folder as PNG; each carries the workflow that made it.',
  outputNode: true,
  inputs: z.object({
    images: ImageSchema.meta({ tooltip: 'The pictures to save.' }),
    filename_prefix: z.string().min(1).default('Flowstep').meta({
      tooltip:
        'Start of the file names; may begin with folders below the output folder, and hold %date:yyyy-MM-dd%, %width% or %height%.',
    }),
  }),
  outputs: {
    images: ImageSchema.meta({ tooltip: 'The same pictures, to go on with.' }),
  },
  async execute({ images, filename_prefix }, context) {
    const pictures = imageTensorToPictures(images);
    const now = new Date();
    const prefixes = pictures.map(({ width, height }, batch) =>
      fillPrefix(filename_prefix, { width, height, batch, now }),
    );
    // Pictures under one prefix are numbered on.
    const names = new Map<string, Awaited<ReturnType<typeof freeNames>>>();
    for (const prefix of new Set(prefixes)) {
      names.set(prefix, await freeNames(context.roots.output, prefix, 'png'));
    }
    const files: string[] = [];
    for (const [i, picture] of pictures.entries()) {
      throwIfAborted(context.signal);
      const png = await pngWithWorkflow(picture, context.workflow);
      const written = await writeNew(names.get(prefixes[i]!)!, async ({ file, path }) => {
        await atomicWrite(file, [png], { replace: false });
        return path;
      });
      files.push(written);
    }
    return { outputs: { images }, files };
  },
});
