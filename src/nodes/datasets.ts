/** @file From data set handles to data in memory. */
import { join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { type FashionMnistSplit, findFashionMnist } from '../trainer/data/fashion-mnist.ts';
import { idxDataset } from '../trainer/data/idx.ts';
import { pointSet } from '../trainer/data/points.ts';
import type { FlowDatasetHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { openFile } from './root-files.ts';

/** A handle that does not know the hash of its data yet. */
export type DatasetSource = FlowDatasetHandle extends infer Handle
  ? Handle extends FlowDatasetHandle
    ? Omit<Handle, 'type' | 'hash'>
    : never
  : never;

/** Reads the data and names it by its hash. */
export async function nameDataset(
  source: DatasetSource,
  context: NodeContext,
): Promise<FlowDatasetHandle> {
  const { hash } = await readDataset(source, context);
  return { ...source, type: 'FLOW_DATASET', hash };
}

/** The data that the handle names; refuses data that has changed since. */
export async function openDataset(
  handle: FlowDatasetHandle,
  context: NodeContext,
): Promise<Dataset> {
  const dataset = await readDataset(handle, context);
  if (dataset.hash === handle.hash) return dataset;
  throw new FlowstepError('DATASET_INVALID', `data set ${dataset.name} has changed`, {
    hint: 'Run Flow Dataset again, so that the graph names the data that is there now.',
  });
}

async function readDataset(source: DatasetSource, context: NodeContext): Promise<Dataset> {
  switch (source.kind) {
    case 'points':
      return pointSet(source.set);
    case 'fashion-mnist':
      return idxDataset(
        `fashion-mnist/${source.split}`,
        await findFashionMnistFor(source.split, context.roots.data),
      );
    case 'idx': {
      const images = await openFile(context.roots, source.images);
      const labels = source.labels && (await openFile(context.roots, source.labels));
      return idxDataset(source.images.path, { images, ...(labels && { labels }) });
    }
  }
}

/** In the data folder; else where it usually is, whose error also says how to get it. */
async function findFashionMnistFor(split: FashionMnistSplit, data: string) {
  try {
    return await findFashionMnist(split, [data, join(data, 'fashion-mnist')]);
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.code !== 'FILE_NOT_FOUND') throw error;
    return findFashionMnist(split);
  }
}
