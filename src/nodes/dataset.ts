/** @file Flow Dataset: what a teacher learns from. */
import { join, posix } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { storePictureBatch } from '../trainer/data/picture-batch.ts';
import { POINT_SET_NAMES } from '../trainer/data/points.ts';
import { DATASET_CACHE, type DatasetSource, nameDataset } from './datasets.ts';
import { defineNode } from './define-node.ts';
import { FlowDatasetSchema, ImageSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, nameFile } from './root-files.ts';

/** Largest side of a picture that a network takes. */
const MAX_SIZE = 1024;

const inputs = z.object({
  source: z
    .enum([...POINT_SET_NAMES, 'fashion-mnist', 'idx', 'folder', 'cifar10', 'latents', 'images'])
    .default('8g')
    .meta({
      tooltip:
        'Points in the plane (8g: eight Gaussians, moons, checker), Fashion-MNIST, idx files, a folder of pictures, CIFAR-10, a file of latents, or the pictures connected to image.',
    }),
  split: z.enum(['train', 'test']).default('train').meta({
    tooltip: 'Which part of Fashion-MNIST or CIFAR-10: to train on, or 10,000 to measure with.',
  }),
  images: z.string().default('').meta({
    tooltip: 'For idx: file of grey pictures below the data folder, compressed by gzip or not.',
  }),
  labels: z.string().default('').meta({
    tooltip: 'For idx: file of their classes below the data folder; empty = no classes.',
  }),
  folder: z.string().default('').meta({
    tooltip: 'For folder: a folder of pictures below the data folder, searched at any depth.',
  }),
  size: z.int().min(0).max(MAX_SIZE).default(64).meta({
    tooltip:
      'For folder and images: pictures are resized and cropped in the middle to squares of this side; 0 = as they are, all of one size.',
    step: 8,
  }),
  channels: z.enum(['rgb', 'grey']).default('rgb').meta({
    tooltip: 'For folder and images: colour or grey.',
  }),
  flip: z.boolean().default(false).meta({
    tooltip: 'For pictures: mirrors every other one left to right at random, as they are drawn.',
  }),
  classes: z.enum(['none', 'folders']).default('none').meta({
    tooltip: 'For folder: whether each folder at its top is a class, in the order of their names.',
  }),
  captions: z.enum(['none', 'files']).default('none').meta({
    tooltip: 'For folder: whether each picture has a text file of the same name.',
  }),
  file: z.string().default('').meta({
    tooltip: 'For latents: a safetensors file below the data folder with a tensor latents.',
  }),
  image: ImageSchema.optional().meta({
    tooltip: 'For images: the pictures to learn from. They are kept in 8 bits.',
  }),
});

type Values = z.infer<typeof inputs>;

/** Inputs that each source reads; the others mean nothing to it. */
export const INPUTS_OF_SOURCE: Readonly<
  Record<Values['source'], readonly Exclude<keyof Values, 'source'>[]>
> = {
  '8g': [],
  moons: [],
  checker: [],
  'fashion-mnist': ['split', 'flip'],
  idx: ['images', 'labels', 'flip'],
  folder: ['folder', 'size', 'channels', 'flip', 'classes', 'captions'],
  cifar10: ['split', 'flip'],
  latents: ['file'],
  images: ['image', 'size', 'channels', 'flip'],
};

export const datasetNode = defineNode({
  id: 'FlowstepDataset',
  displayName: 'Flow Dataset',
  category: 'flowstep/training',
  description: 'Names the data that a teacher is trained on.',
  searchAliases: ['training data', 'image folder', 'load images', 'CIFAR', 'MNIST'],
  inputs,
  outputs: {
    dataset: FlowDatasetSchema.meta({ tooltip: 'For Train Flow Teacher.' }),
  },
  // Files and folders change outside of the graph.
  async fingerprint(values, context) {
    if (!namesData(values)) return undefined;
    return (await nameDataset(await sourceOf(values, context), context)).hash;
  },
  async execute(values, context) {
    if (values.image && values.source !== 'images') {
      context.onNotice?.(
        `the pictures connected to image are not used, as source is ${values.source}`,
      );
    }
    return { outputs: { dataset: await nameDataset(await sourceOf(values, context), context) } };
  },
});

/** False for the pictures of an IMAGE, which are part of the graph, and for a path that comes through a link or is missing. */
function namesData({ source, images, folder, file }: Values): boolean {
  switch (source) {
    case 'images':
      return false;
    case 'idx':
      return images !== '';
    case 'folder':
      return folder !== '';
    case 'latents':
      return file !== '';
    default:
      return true;
  }
}

async function sourceOf(values: Values, context: NodeContext): Promise<DatasetSource> {
  const { source, split } = values;
  const { roots } = context;
  const flip = values.flip ? { flip: true } : {};
  switch (source) {
    case 'fashion-mnist':
    case 'cifar10':
      return { kind: source, split, ...flip };
    case 'idx':
      requirePath(values, 'images', 'an idx data set needs a file of pictures');
      return {
        kind: 'idx',
        images: await nameFile(roots, 'data', values.images),
        ...(values.labels !== '' && { labels: await nameFile(roots, 'data', values.labels) }),
        ...flip,
      };
    case 'folder': {
      requirePath(values, 'folder', 'a folder of pictures needs a name');
      const { size, channels, classes, captions } = values;
      const folder = posix.normalize(values.folder.replaceAll('\\', '/')).replace(/\/$/, '');
      return { kind: 'folder', folder, size, channels, classes, captions, ...flip };
    }
    case 'latents':
      requirePath(values, 'file', 'a data set of latents needs a file');
      return { kind: 'latents', file: await nameFile(roots, 'data', values.file) };
    case 'images':
      return { kind: 'images', file: await storeImages(values, context), ...flip };
    default:
      return { kind: 'points', set: source };
  }
}

/** Options of the command line that stand for inputs. */
const OPTIONS = { images: '--images', folder: '--folder', file: '--latents' } as const;

function requirePath(values: Values, field: keyof typeof OPTIONS, message: string): void {
  if (values[field] !== '') return;
  throw new FlowstepError('DATASET_INVALID', message, {
    field,
    hint: `Set ${field} to a path below the data folder, or give ${OPTIONS[field]} any path.`,
  });
}

async function storeImages(
  { image, ...options }: Values,
  { roots }: NodeContext,
): Promise<FileRef> {
  if (!image) {
    throw new FlowstepError('DATASET_INVALID', 'source is images, but none are connected', {
      field: 'image',
      hint: 'Connect the IMAGE output of a node to image.',
    });
  }
  const name = await storePictureBatch(join(roots.output, DATASET_CACHE), image, options);
  return nameFile(roots, 'output', `${DATASET_CACHE}/${name}`);
}
