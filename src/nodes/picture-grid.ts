/** @file Picture Grid: a batch of pictures as one. */
import { z } from 'zod';
import { defineNode } from './define-node.ts';
import { ImageSchema } from './handles.ts';
import { gridOf } from './pictures/grid.ts';
import { imageTensorToPictures, toImageTensor } from './pictures/picture.ts';

/** Columns as 0 stands for a near-square grid. */
const NEAR_SQUARE = 0;

export const pictureGridNode = defineNode({
  id: 'FlowstepPictureGrid',
  displayName: 'Picture Grid',
  category: 'flowstep/sampling',
  description: 'Puts the pictures of a batch side by side; small ones are enlarged.',
  searchAliases: ['contact sheet', 'image grid', 'montage', 'collage'],
  inputs: z.object({
    images: ImageSchema.meta({ tooltip: 'The pictures, all of one size.' }),
    columns: z.int().min(NEAR_SQUARE).max(1000).default(NEAR_SQUARE).meta({
      tooltip:
        'Pictures in a row; 0 = near-square. The number of classes puts a class in a column.',
      step: 1,
    }),
  }),
  outputs: {
    image: ImageSchema.meta({ tooltip: 'One picture.' }),
  },
  async execute({ images, columns }) {
    const options = columns === NEAR_SQUARE ? {} : { columns };
    return { outputs: { image: toImageTensor(gridOf(imageTensorToPictures(images), options)) } };
  },
});
