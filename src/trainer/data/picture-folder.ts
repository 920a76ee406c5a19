/** @file Data sets from folders of pictures. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asFlowstepError } from '../../errors.ts';
import { sha256 } from '../files/hash.ts';
import { readError } from '../files/read-error.ts';
import type { Dataset } from './dataset.ts';
import {
  type DecodedPictures,
  decodeFolder,
  type HashedPicture,
  skippedNotice,
} from './decode-folder.ts';
import { DECODE_VERSION, type DecodeOptions } from './decode-picture.ts';
import { forEachBounded, type Watch } from './for-each-bounded.ts';
import { heldDataset, requireFits } from './held-dataset.ts';
import { readCached, writeCached } from './picture-cache.ts';
import {
  invalid,
  type ListOptions,
  listPictures,
  type PictureFile,
  requireEveryClass,
} from './picture-list.ts';
import { readWhole } from './read-whole.ts';

export interface PictureFolderOptions extends DecodeOptions, ListOptions {
  /** Mirrors every other picture at random. */
  readonly flip: boolean;
}

/** Where decoded pictures are kept, and who is told of what happens. */
export interface PictureFolderServices extends Watch {
  readonly cache: string;
  /** Something that the user should know and that stops nothing. */
  onNotice?(message: string): void;
}

/**
 * The pictures below `folder` as samples [channels, height, width] in [-1, 1]; `name` stands for the folder in models
 * trained on it. Throws DATASET_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE or INTERRUPTED.
 */
export async function pictureFolder(
  name: string,
  folder: string,
  options: PictureFolderOptions,
  services: PictureFolderServices,
): Promise<Dataset> {
  await requireFolder(folder);
  const list = await listPictures(folder, options, services);
  for (const notice of list.notices) services.onNotice?.(notice);
  requireEveryClass(folder, list.classNames, list.files);
  if (options.size > 0) {
    const channels = options.channels === 'grey' ? 1 : 3;
    requireFits(folder, list.files.length, [channels, options.size, options.size], 1);
  }
  const hashed = await hashAll(folder, list.files, services);
  const key = pixelsKey(hashed, options);
  const { samples, shape, skipped } = await decodedPictures(folder, key, hashed, options, services);
  if (skipped.length > 0) services.onNotice?.(skippedNotice(folder, skipped));
  const gone = new Set(skipped.map(({ path }) => path));
  const files = list.files.filter(({ path }) => !gone.has(path));
  requireEveryClass(folder, list.classNames, files);
  return heldDataset({
    name,
    shape,
    samples,
    classes: list.classNames.length,
    ...(options.classes === 'folders' && { labels: Int32Array.from(files, (f) => f.label!) }),
    ...(options.captions === 'files' && { captions: files.map((f) => f.caption!) }),
    // Apart from the key, so that a new caption does not decode all pictures again.
    hash: sha256(key, JSON.stringify(list.files.map(({ label, caption }) => [label, caption]))),
    flip: options.flip,
  });
}

async function requireFolder(folder: string): Promise<void> {
  const stats = await stat(folder).catch((error: unknown) => {
    throw readError(folder, error);
  });
  if (!stats.isDirectory())
    throw invalid(folder, 'it is not a folder', 'Name the folder it is in.');
}

async function hashAll(
  folder: string,
  files: readonly PictureFile[],
  watch: Watch,
): Promise<HashedPicture[]> {
  const hashes = new Array<string>(files.length);
  await forEachBounded(
    files,
    async ({ path }, i) => {
      hashes[i] = sha256(await readWhole(join(folder, path)));
    },
    watch,
  );
  return files.map(({ path }, i) => ({ path, sha256: hashes[i]! }));
}

/** Names the decoded pictures by all that decides them, and by nothing of this machine. */
function pixelsKey(files: readonly HashedPicture[], { size, channels }: DecodeOptions): string {
  // macOS spells accents in names another way than others do.
  const contents = files.map((file) => [file.path.normalize('NFC'), file.sha256]);
  return sha256(JSON.stringify([DECODE_VERSION, size, channels, contents]));
}

/** From the cache, or from the files and into the cache. */
async function decodedPictures(
  folder: string,
  key: string,
  files: readonly HashedPicture[],
  options: DecodeOptions,
  services: PictureFolderServices,
): Promise<DecodedPictures> {
  try {
    const cached = await readCached(services.cache, key, files.length);
    if (cached) return cached;
  } catch (error) {
    services.onNotice?.(`decoding again: ${asFlowstepError(error).message}`);
  }
  const decoded = await decodeFolder(folder, files, options, services);
  try {
    await writeCached(services.cache, key, decoded);
  } catch (error) {
    const why = asFlowstepError(error).message;
    services.onNotice?.(`the decoded pictures are not kept for the next time: ${why}`);
  }
  return decoded;
}
