/** @file Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 70,000 grey pictures of 28 x 28 in ten classes. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from './dataset.ts';
import { type IdxPaths, idxDataset } from './idx.ts';

/** 60,000 pictures to train with, 10,000 to measure with. */
export type FashionMnistSplit = 'train' | 'test';

/** Where Debian's package dataset-fashion-mnist puts its files. */
const DEBIAN_FOLDER = '/usr/share/datasets/fashion-mnist';

const PREFIXES = { train: 'train', test: 't10k' } as const satisfies Record<
  FashionMnistSplit,
  string
>;

/** The pictures and labels of one part from the first of `folders` that has them; throws FILE_NOT_FOUND or DATASET_INVALID. */
export async function fashionMnist(
  split: FashionMnistSplit,
  folders?: readonly string[],
  flip = false,
): Promise<Dataset> {
  return idxDataset(`fashion-mnist/${split}`, await findFashionMnist(split, folders), flip);
}

/**
 * Looks for the files of one part, compressed or not, in `folders`. Throws FILE_NOT_FOUND with a hint on how to get them.
 */
export async function findFashionMnist(
  split: FashionMnistSplit,
  folders: readonly string[] = usualFolders(),
): Promise<Required<IdxPaths>> {
  const prefix = PREFIXES[split];
  for (const folder of folders) {
    const images = await firstExisting(join(folder, `${prefix}-images-idx3-ubyte`));
    const labels = await firstExisting(join(folder, `${prefix}-labels-idx1-ubyte`));
    if (images !== undefined && labels !== undefined) return { images, labels };
  }
  throw new FlowstepError(
    'FILE_NOT_FOUND',
    `Fashion-MNIST is not in ${folders.join(', nor in ')}`,
    {
      hint:
        'On Debian and Ubuntu: apt-get install dataset-fashion-mnist. Elsewhere put the four files ' +
        '(train-images-idx3-ubyte.gz and so on) in a folder and name it in FLOWSTEP_DATA.',
    },
  );
}

/** Where to look: in a folder of data sets, in `fashion-mnist` inside it, and where Debian puts them. */
export function usualFolders(data = process.env['FLOWSTEP_DATA']): string[] {
  return data ? [data, join(data, 'fashion-mnist'), DEBIAN_FOLDER] : [DEBIAN_FOLDER];
}

async function firstExisting(plain: string): Promise<string | undefined> {
  for (const path of [`${plain}.gz`, plain]) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return path;
  }
  return undefined;
}
