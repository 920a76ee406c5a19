/** @file The pictures below a folder, with the class or the caption that belongs to each. */
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import { readError } from '../files/read-error.ts';
import { forEachBounded, type Watch } from './for-each-bounded.ts';
import { readWhole } from './read-whole.ts';

/** What a folder says of its pictures beside the pictures themselves. */
export interface ListOptions {
  /** `folders`: each folder at the top is a class. */
  readonly classes: 'none' | 'folders';
  /** `files`: each picture has a text file of the same name. */
  readonly captions: 'none' | 'files';
}

export interface PictureFile {
  /** Relative to the folder, with forward slashes. */
  readonly path: string;
  readonly label?: number;
  readonly caption?: string;
}

export interface PictureList {
  /** In the order of their paths, the same on every machine. */
  readonly files: readonly PictureFile[];
  /** By label; empty without classes. */
  readonly classNames: readonly string[];
  /** What was passed over, in words. */
  readonly notices: readonly string[];
}

/** Formats of pixels that sharp reads. SVG is none: its look depends on the fonts of the machine. */
const READABLE = [
  '.avif',
  '.gif',
  '.jfif',
  '.jpe',
  '.jpeg',
  '.jpg',
  '.png',
  '.tif',
  '.tiff',
  '.webp',
];

/** Pictures all the same, which people will miss. */
const UNREADABLE = ['.bmp', '.heic', '.heif', '.jp2', '.jxl', '.ppm', '.psd', '.svg', '.tga'];

/** Names shown of a list that may be long. */
const SHOWN = 5;

/** Lists the pictures below `folder` at any depth; throws DATASET_INVALID, FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function listPictures(
  folder: string,
  options: ListOptions,
  watch: Watch,
): Promise<PictureList> {
  const found = await walk(folder);
  if (found.pictures.length === 0) {
    throw invalid(folder, 'there are no pictures in it', `Pictures end in ${READABLE.join(', ')}.`);
  }
  const classNames = options.classes === 'folders' ? classesOf(folder, found) : [];
  const captions =
    options.captions === 'files' ? await readCaptions(folder, found.pictures, watch) : undefined;
  return {
    files: found.pictures.map((path, i) => ({
      path,
      ...(classNames.length > 0 && { label: classNames.indexOf(topFolder(path)) }),
      ...(captions && { caption: captions[i]! }),
    })),
    classNames,
    notices: noticesOf(folder, found),
  };
}

/** Throws DATASET_INVALID unless each class has a picture among `files`. */
export function requireEveryClass(
  folder: string,
  classNames: readonly string[],
  files: readonly PictureFile[],
): void {
  const seen = new Set(files.map((file) => file.label));
  const empty = classNames.filter((_, label) => !seen.has(label));
  if (empty.length === 0) return;
  throw invalid(
    folder,
    `no picture can be read in class ${empty.length === 1 ? 'folder' : 'folders'} ${someOf(empty)}`,
    'Each folder at the top is a class: add pictures, or move the folder away.',
  );
}

/** The first few names, and how many more there are. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}

/** A folder that is no data set: DATASET_INVALID, naming the folder. */
export function invalid(folder: string, what: string, hint: string): FlowstepError {
  return new FlowstepError('DATASET_INVALID', `${folder}: ${what}`, { file: folder, hint });
}

interface Found {
  readonly pictures: string[];
  /** Folders at the top. */
  readonly folders: string[];
  readonly unreadable: string[];
  readonly links: string[];
}

async function walk(root: string): Promise<Found> {
  const found: Found = { pictures: [], folders: [], unreadable: [], links: [] };
  const waiting = [''];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const entry of await entriesOf(join(root, at))) {
      // Hidden files are the system's, or an editor's: .DS_Store, ._photo.jpg, .ipynb_checkpoints.
      if (entry.name.startsWith('.')) continue;
      const path = at === '' ? entry.name : `${at}/${entry.name}`;
      const extension = extname(entry.name).toLowerCase();
      if (entry.isSymbolicLink()) found.links.push(path);
      else if (entry.isDirectory()) {
        waiting.push(path);
        if (at === '') found.folders.push(path);
      } else if (READABLE.includes(extension)) found.pictures.push(path);
      else if (UNREADABLE.includes(extension)) found.unreadable.push(path);
    }
  }
  for (const paths of [found.pictures, found.folders, found.unreadable, found.links]) {
    paths.sort(comparePaths);
  }
  return found;
}

/** By code units of one spelling: neither locales nor macOS's spelling of accents may change the order. */
function comparePaths(a: string, b: string): number {
  const [left, right] = [a.normalize('NFC'), b.normalize('NFC')];
  return left < right ? -1 : Number(left > right);
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    throw readError(folder, error);
  }
}

function classesOf(folder: string, { pictures, folders }: Found): string[] {
  const loose = pictures.filter((path) => !path.includes('/'));
  if (loose.length > 0) {
    throw invalid(
      folder,
      `class folders are asked for, but ${someOf(loose)} ${loose.length === 1 ? 'lies' : 'lie'} in none`,
      'Move each picture into the folder of its class, or set classes to none.',
    );
  }
  return folders;
}

function topFolder(path: string): string {
  return path.slice(0, path.indexOf('/'));
}

async function readCaptions(
  folder: string,
  pictures: readonly string[],
  watch: Watch,
): Promise<string[]> {
  const captions = new Array<string>(pictures.length).fill('');
  const missing: number[] = [];
  await forEachBounded(
    pictures,
    async (path, i) => {
      const caption = await readCaption(join(folder, captionPath(path)));
      if (caption === undefined) missing.push(i);
      else captions[i] = caption;
    },
    watch.signal ? { signal: watch.signal } : {},
  );
  if (missing.length === 0) return captions;
  const names = missing.sort((a, b) => a - b).map((i) => pictures[i]!);
  throw invalid(
    folder,
    `${names.length} of ${pictures.length} pictures have no caption: ${someOf(names)}`,
    `Write a text file beside each, such as ${captionPath(names[0]!)} (it may be empty), or set captions to none.`,
  );
}

function captionPath(path: string): string {
  return `${path.slice(0, -extname(path).length)}.txt`;
}

/** The text without white space around it; undefined when there is no file. */
async function readCaption(file: string): Promise<string | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readWhole(file);
  } catch (error) {
    if (asFlowstepError(error).code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    throw invalid(file, 'the caption is not UTF-8', 'Save it as UTF-8 text.');
  }
}

function noticesOf(folder: string, { unreadable, links }: Found): string[] {
  const notices: string[] = [];
  if (unreadable.length > 0) {
    notices.push(`${folder}: passed over, as the format cannot be read: ${someOf(unreadable)}`);
  }
  if (links.length > 0) {
    notices.push(`${folder}: passed over, as links are not followed: ${someOf(links)}`);
  }
  return notices;
}
