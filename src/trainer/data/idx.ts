/** @file The idx format of MNIST and its likes (http://yann.lecun.com/exdb/mnist), and data sets in it. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { FlowstepError } from '../../errors.ts';
import { sha256 } from '../files/hash.ts';
import { type Shape, sizeOf } from '../tensor.ts';
import type { Dataset } from './dataset.ts';
import { heldDataset } from './held-dataset.ts';
import { readWhole } from './read-whole.ts';

/** An idx file of unsigned bytes. */
export interface IdxFile {
  readonly shape: Shape;
  /** Row-major, as many as the shape says. */
  readonly data: Uint8Array;
  /** sha256 of the file, unpacked. */
  readonly hash: string;
}

export interface IdxPaths {
  readonly images: string;
  readonly labels?: string;
}

/** Largest file once unpacked, in bytes: 20 times MNIST; a compressed file cannot fill the memory. */
const MAX_IDX_BYTES = 2 ** 30;

/** Third byte of the magic number for unsigned bytes, the only type that pictures and labels have. */
const UNSIGNED_BYTE = 0x08;

const unzip = promisify(gunzip);

/** Reads an idx file, compressed by gzip or not; throws DATASET_INVALID, FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function readIdx(path: string): Promise<IdxFile> {
  const bytes = await readUnpacked(path);
  if (bytes.length < 4) throw invalid(path, `it has ${bytes.length} bytes, no idx header`);
  const dims = bytes[3]!;
  if (bytes[0] !== 0 || bytes[1] !== 0 || dims === 0) {
    throw invalid(path, `it begins with ${bytes.toString('hex', 0, 4)}, not with an idx header`);
  }
  if (bytes[2] !== UNSIGNED_BYTE) {
    throw invalid(
      path,
      `its elements have type 0x${bytes.toString('hex', 2, 3)}, not bytes (0x08)`,
    );
  }
  const headerBytes = 4 + 4 * dims;
  if (bytes.length < headerBytes) throw invalid(path, 'it ends in its header');
  const shape = Array.from({ length: dims }, (_, d) => bytes.readUInt32BE(4 + 4 * d));
  const data = bytes.subarray(headerBytes);
  if (data.length !== sizeOf(shape)) {
    throw invalid(path, `its shape is [${shape.join(', ')}], but it holds ${data.length} bytes`);
  }
  return { shape, data, hash: sha256(bytes) };
}

/**
 * Grey pictures from an idx file [count, height, width] as samples [1, height, width] in [-1, 1], with labels from
 * another [count] if given; throws DATASET_INVALID, FILE_NOT_FOUND or FILE_UNREADABLE.
 */
export async function idxDataset(name: string, paths: IdxPaths, flip = false): Promise<Dataset> {
  const images = await readIdx(paths.images);
  const [count, height, width] = images.shape;
  if (images.shape.length !== 3 || sizeOf(images.shape) === 0) {
    throw invalid(paths.images, `its shape is [${images.shape.join(', ')}], not that of pictures`);
  }
  const labels = paths.labels === undefined ? undefined : await readLabels(paths.labels, count!);
  return heldDataset({
    name,
    shape: [1, height!, width!],
    samples: images.data,
    ...(labels && { labels: labels.data }),
    classes: labels ? labels.data.reduce((a, b) => Math.max(a, b), 0) + 1 : 0,
    hash: labels ? sha256(images.hash, labels.hash) : images.hash,
    flip,
  });
}

async function readLabels(path: string, count: number): Promise<IdxFile> {
  const labels = await readIdx(path);
  if (labels.shape.length === 1 && labels.shape[0] === count) return labels;
  throw invalid(path, `its shape is [${labels.shape.join(', ')}], but there are ${count} pictures`);
}

async function readUnpacked(path: string): Promise<Buffer> {
  const bytes = await readWhole(path);
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isGzip) return bytes;
  try {
    return await unzip(bytes, { maxOutputLength: MAX_IDX_BYTES });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalid(path, `it cannot be unpacked (${why})`, error);
  }
}

function invalid(path: string, what: string, cause?: unknown): FlowstepError {
  return new FlowstepError('DATASET_INVALID', `${path}: not a usable idx file: ${what}`, {
    file: path,
    cause,
    hint: 'The file may be cut short or damaged: copy or download it again.',
  });
}
