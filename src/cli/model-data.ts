/** @file The data set that a model was trained on: given again by its name, and compared with another. */
import type { Dataset } from '../trainer/data/dataset.ts';
import { flippedHash } from '../trainer/data/held-dataset.ts';
import { POINT_SET_NAMES, pointSet } from '../trainer/data/points.ts';
import { type ModelInfo, UNKNOWN_DATASET } from '../trainer/run/model.ts';
import type { NamedDataset } from './dataset-options.ts';

type TrainedOn = ModelInfo['dataset'];

/** The names that Flow Dataset gives the parts of the sets that it finds by itself. */
const PARTS = (['fashion-mnist', 'cifar10'] as const).flatMap((source) =>
  (['train', 'test'] as const).map((split) => ({ name: `${source}/${split}`, source, split })),
);

/** The model's data set, where its name alone says how to get it; others need a file or folder. */
export function datasetOfModel({ name, hash }: TrainedOn): NamedDataset | undefined {
  const part = PARTS.find((one) => one.name === name);
  if (part) return { source: part.source, split: part.split };
  const points = POINT_SET_NAMES.find((one) => one === name);
  // A folder may be called as a set of points is.
  return points && pointSet(points).hash === hash ? { source: points } : undefined;
}

/** What a reader should know of scores against data that the model was not trained on; another part of its set is no other data. */
export function otherDataNotices(trained: TrainedOn, measured: Dataset): string[] {
  if (trained.name === UNKNOWN_DATASET || isSame(trained, measured)) return [];
  const other = trained.name === measured.name ? 'other data of that name' : measured.name;
  return [`the model was trained on ${trained.name}, and is measured against ${other}`];
}

function isSame(trained: TrainedOn, { name, hash }: Dataset): boolean {
  const [a, b] = [trained.name, name].map((one) => PARTS.find((part) => part.name === one)?.source);
  if (a !== undefined && a === b) return true;
  // Mirrored as they are drawn, the same samples are another set to train on, and the same to measure with.
  return [hash, flippedHash(hash)].includes(trained.hash) || flippedHash(trained.hash) === hash;
}
