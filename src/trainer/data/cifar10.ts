/** @file CIFAR-10 (Krizhevsky 2009): 60,000 colour pictures of 32 x 32 in ten classes, in its binary form. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { sha256 } from '../files/hash.ts';
import type { Dataset } from './dataset.ts';
import { heldDataset } from './held-dataset.ts';
import { readWhole } from './read-whole.ts';

/** 50,000 pictures to train with, 10,000 to measure with. */
export type Cifar10Split = 'train' | 'test';

const FILES: Record<Cifar10Split, readonly string[]> = {
  train: [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`),
  test: ['test_batch.bin'],
};

const CLASSES = 10;
const SHAPE = [3, 32, 32] as const;
const PICTURE_BYTES = 3 * 32 * 32;
/** A byte of the class, and then the red, green and blue planes. */
const RECORD_BYTES = 1 + PICTURE_BYTES;

/** Folders of the archive's own name and of a common one, in a folder of data sets. */
const SUBFOLDERS = ['', 'cifar-10-batches-bin', 'cifar-10'];

/** One part from the data folder or a folder of CIFAR-10's name in it; throws FILE_NOT_FOUND, FILE_UNREADABLE or DATASET_INVALID. */
export async function cifar10(split: Cifar10Split, data: string, flip: boolean): Promise<Dataset> {
  const paths = await findCifar10(split, data);
  const files = await Promise.all(paths.map(readBatch));
  const total = files.reduce((sum, file) => sum + file.length / RECORD_BYTES, 0);
  const samples = new Uint8Array(total * PICTURE_BYTES);
  const labels = new Uint8Array(total);
  let i = 0;
  for (const file of files) {
    for (let at = 0; at < file.length; at += RECORD_BYTES, i++) {
      labels[i] = file[at]!;
      samples.set(file.subarray(at + 1, at + RECORD_BYTES), i * PICTURE_BYTES);
    }
  }
  return heldDataset({
    name: `cifar10/${split}`,
    shape: SHAPE,
    samples,
    labels,
    classes: CLASSES,
    hash: sha256(...files),
    flip,
  });
}

async function findCifar10(split: Cifar10Split, data: string): Promise<string[]> {
  for (const folder of SUBFOLDERS.map((name) => join(data, name))) {
    const paths = FILES[split].map((name) => join(folder, name));
    const isThere = await Promise.all(paths.map(exists));
    if (isThere.every(Boolean)) return paths;
    if (isThere.some(Boolean)) {
      const missing = FILES[split].filter((_, i) => !isThere[i]);
      throw notFound(`${folder} has only a part of CIFAR-10: ${missing.join(', ')} missing`);
    }
  }
  throw notFound(`CIFAR-10 is not in ${data}`);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function notFound(message: string): FlowstepError {
  return new FlowstepError('FILE_NOT_FOUND', message, {
    hint:
      'Get the binary version, cifar-10-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it ' +
      'in the data folder: it makes the folder cifar-10-batches-bin.',
  });
}

async function readBatch(path: string): Promise<Uint8Array> {
  const bytes = await readWhole(path);
  if (bytes.length === 0 || bytes.length % RECORD_BYTES !== 0) {
    throw invalid(path, `${bytes.length} bytes are no whole number of records of ${RECORD_BYTES}`);
  }
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    if (bytes[at]! >= CLASSES) {
      throw invalid(path, `record ${at / RECORD_BYTES} has class ${bytes[at]}, not 0 to 9`);
    }
  }
  return bytes;
}

function invalid(path: string, what: string): FlowstepError {
  return new FlowstepError('DATASET_INVALID', `${path}: not a CIFAR-10 batch: ${what}`, {
    file: path,
    hint: 'The file may be cut short, or belong to CIFAR-100 or the Python version: get the binary version again.',
  });
}
