/** @file From data set handles to data in memory. */
import { join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { cifar10 } from '../trainer/data/cifar10.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { fashionMnist, usualFolders } from '../trainer/data/fashion-mnist.ts';
import { idxDataset } from '../trainer/data/idx.ts';
import { latents } from '../trainer/data/latents.ts';
import { pictureBatch } from '../trainer/data/picture-batch.ts';
import { pictureFolder } from '../trainer/data/picture-folder.ts';
import { pointSet } from '../trainer/data/points.ts';
import { openPrompts, type PromptSet } from '../trainer/data/prompts.ts';
import { Progress } from '../trainer/run/progress.ts';
import type { FlowDatasetHandle, FlowPromptsHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { openFile, resolveInside } from './root-files.ts';

/** A handle that does not know its data yet. */
export type DatasetSource = FlowDatasetHandle extends infer Handle
  ? Handle extends FlowDatasetHandle
    ? Omit<Handle, 'type' | 'hash' | 'captionCount'>
    : never
  : never;

/** Where decoded pictures are kept, relative to the output folder; it may be deleted at any time but for the sets of IMAGE batches. */
export const DATASET_CACHE = 'cache/datasets';

/** Time between two reports of progress: often enough to look alive. */
const PROGRESS_PERIOD_MS = 100;

/** Reads the data and names it by its hash; tells what is wrong with it but stops nothing. */
export async function nameDataset(
  source: DatasetSource,
  context: NodeContext,
): Promise<FlowDatasetHandle> {
  const { hash, captions } = await readDataset(source, context, true);
  const captionCount = captions?.length;
  return {
    ...source,
    type: 'FLOW_DATASET',
    hash,
    ...(captionCount !== undefined && { captionCount }),
  };
}

/** The data that the handle names; refuses data that has changed since. */
export async function openDataset(
  handle: FlowDatasetHandle,
  context: NodeContext,
): Promise<Dataset> {
  // What there is to tell was told when the data was named.
  const dataset = await readDataset(handle, context, false);
  if (dataset.hash === handle.hash) return dataset;
  const count = dataset.whole && ` (it has ${dataset.whole.count} samples now)`;
  const changed = `data set ${dataset.name} has changed since it was named${count ?? ''}`;
  throw new FlowstepError('DATASET_INVALID', changed, {
    hint: 'Put the data back as they were. For those that are there now, run Flow Dataset again in a graph, or train with another --run-name on the command line.',
  });
}

/** The prompts that a handle names. */
export async function openPromptSet(
  handle: FlowPromptsHandle | undefined,
  { roots }: NodeContext,
): Promise<PromptSet | undefined> {
  return handle && openPrompts(handle.path, await openFile(roots, handle));
}

async function readDataset(
  source: DatasetSource,
  context: NodeContext,
  isTold: boolean,
): Promise<Dataset> {
  const { roots } = context;
  switch (source.kind) {
    case 'points':
      return pointSet(source.set);
    case 'fashion-mnist':
      return fashionMnist(source.split, usualFolders(roots.data), source.flip);
    case 'cifar10':
      return cifar10(source.split, roots.data, source.flip ?? false);
    case 'idx': {
      const images = await openFile(roots, source.images);
      const labels = source.labels && (await openFile(roots, source.labels));
      return idxDataset(source.images.path, { images, ...(labels && { labels }) }, source.flip);
    }
    case 'folder':
      return pictureFolder(
        source.folder,
        await resolveInside(roots, 'data', source.folder),
        { ...source, flip: source.flip ?? false },
        {
          cache: join(roots.output, DATASET_CACHE),
          signal: context.signal,
          onProgress: progressTo(context),
          onNotice: (message) => isTold && context.onNotice?.(message),
        },
      );
    case 'images':
      return pictureBatch(await openFile(roots, source.file), source.flip ?? false);
    case 'latents':
      return latents(source.file.path, await openFile(roots, source.file));
  }
}

/** Tells files done, now and then. */
function progressTo(context: NodeContext): (done: number, total: number) => void {
  let progress: Progress | undefined;
  let [toldAt, toldDone] = [performance.now(), 0];
  return (done, total) => {
    // Files are gone through more than once: to name them, and to decode them.
    if (done <= toldDone) [progress, toldDone] = [undefined, 0];
    const now = performance.now();
    if (now - toldAt < PROGRESS_PERIOD_MS && done < total) return;
    progress ??= new Progress(total);
    const rate = progress.tick(done, (now - toldAt) / (done - toldDone));
    [toldAt, toldDone] = [now, done];
    const counts = 'reading pictures';
    context.onProgress({ kind: 'step', counts, step: done, steps: total, metrics: {}, ...rate });
  };
}
