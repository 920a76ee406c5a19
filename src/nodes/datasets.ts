/** @file From data set handles to data in memory. */
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { fashionMnist, usualFolders } from '../trainer/data/fashion-mnist.ts';
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
      return fashionMnist(source.split, usualFolders(context.roots.data));
    case 'idx': {
      const images = await openFile(context.roots, source.images);
      const labels = source.labels && (await openFile(context.roots, source.labels));
      return idxDataset(source.images.path, { images, ...(labels && { labels }) });
    }
  }
}
