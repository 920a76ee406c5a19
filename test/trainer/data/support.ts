/** @file Opening folders of pictures in tests. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type PictureFolderOptions,
  pictureFolder,
} from '../../../src/trainer/data/picture-folder.ts';
import { writeFiles } from '../../support/pictures.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** Pictures as they are. */
export const AS_IS: PictureFolderOptions = {
  size: 0,
  channels: 'rgb',
  flip: false,
  classes: 'none',
  captions: 'none',
};

export type Files = Readonly<Record<string, Uint8Array | string>>;

/** A folder that holds `files`. */
export async function folderOf(files: Files): Promise<string> {
  const folder = join(await tempFolder(), 'pictures');
  await mkdir(folder);
  await writeFiles(folder, files);
  return folder;
}

/** The folder as the data set `pets`, and what was told of it; the cache lies beside it. */
export async function openPets(folder: string, options: Partial<PictureFolderOptions> = {}) {
  const notices: string[] = [];
  const cache = join(folder, '..', 'cache');
  const set = await pictureFolder(
    'pets',
    folder,
    { ...AS_IS, ...options },
    { cache, onNotice: (message) => notices.push(message) },
  );
  return { set, notices };
}
