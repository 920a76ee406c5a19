/** @file Flow Dataset: what a teacher learns from. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { POINT_SET_NAMES } from '../trainer/data/points.ts';
import { type DatasetSource, nameDataset } from './datasets.ts';
import { defineNode } from './define-node.ts';
import { FlowDatasetSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { nameFile } from './root-files.ts';

const inputs = z.object({
  source: z
    .enum([...POINT_SET_NAMES, 'fashion-mnist', 'idx'])
    .default('8g')
    .meta({
      tooltip:
        'Points in the plane (8g: eight Gaussians, moons, checker), Fashion-MNIST, or idx files of your own.',
    }),
  split: z.enum(['train', 'test']).default('train').meta({
    tooltip: 'Which part of Fashion-MNIST: 60,000 pictures to train on, 10,000 to measure with.',
  }),
  images: z.string().default('').meta({
    tooltip: 'For idx: file of grey pictures below the data folder, compressed by gzip or not.',
  }),
  labels: z.string().default('').meta({
    tooltip: 'For idx: file of their classes below the data folder; empty = no classes.',
  }),
});

export const datasetNode = defineNode({
  id: 'FlowstepDataset',
  displayName: 'Flow Dataset',
  category: 'flowstep/training',
  description: 'Names the data that a teacher is trained on.',
  inputs,
  outputs: {
    dataset: FlowDatasetSchema.meta({ tooltip: 'For Train Flow Teacher.' }),
  },
  async execute(values, context) {
    return { outputs: { dataset: await nameDataset(await sourceOf(values, context), context) } };
  },
});

async function sourceOf(
  { source, split, images, labels }: z.infer<typeof inputs>,
  { roots }: NodeContext,
): Promise<DatasetSource> {
  if (source === 'fashion-mnist') return { kind: 'fashion-mnist', split };
  if (source !== 'idx') return { kind: 'points', set: source };
  if (images === '') {
    throw new FlowstepError('DATASET_INVALID', 'an idx data set needs a file of pictures', {
      field: 'images',
      hint: 'Set images to the path of an idx file below the data folder.',
    });
  }
  return {
    kind: 'idx',
    images: await nameFile(roots, 'data', images),
    ...(labels !== '' && { labels: await nameFile(roots, 'data', labels) }),
  };
}
