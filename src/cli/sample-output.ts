/** @file Where `flowstep sample` leaves what it draws: in a file, or in a folder with a picture of each sample. */
import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join, resolve, sep } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { lookOf, pictureOfSamples } from '../nodes/draw-samples.ts';
import type { RunningWorkflow } from '../nodes/node-context.ts';
import { namesAfter, writeNew } from '../nodes/output-files.ts';
import {
  imageTensorToPictures,
  type Picture,
  samplesToImageTensor,
} from '../nodes/pictures/picture.ts';
import { pngWithWorkflow } from '../nodes/pictures/png-workflow.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { makeFolder } from '../trainer/files/make-folder.ts';
import type { Shape, Tensor } from '../trainer/tensor.ts';

export interface SampleTarget {
  readonly kind: 'picture' | 'tensor' | 'folder';
  /** Absolute. */
  readonly path: string;
}

/** Digits of a picture's number, with zeros in front. */
const NUMBER_DIGITS = 6;

/** By the name alone, before any work is done: a folder is one that is there, or ends in a slash. */
export function targetOf(out: string): SampleTarget {
  const path = resolve(out);
  const isThere = existsSync(path) && statSync(path).isDirectory();
  if (isThere || out.endsWith('/') || out.endsWith(sep)) {
    return { kind: 'folder', path };
  }
  switch (extname(out).toLowerCase()) {
    case '.png':
      return { kind: 'picture', path };
    case '.safetensors':
      return { kind: 'tensor', path };
    default:
      throw new FlowstepError('USAGE', `--out ${out}: the name must end in .png or .safetensors`, {
        hint: `For a folder with a picture of each sample, end it in a slash: ${out}/`,
      });
  }
}

/** Throws USAGE when samples of this shape cannot be left there. */
export function requireShown({ kind }: SampleTarget, shape: Shape): void {
  const look = lookOf(shape);
  if (kind === 'tensor' || look === 'pictures' || (look === 'points' && kind === 'picture')) return;
  const what = `samples of [${shape.join(', ')}]`;
  throw look === 'points'
    ? new FlowstepError('USAGE', `${what} are points, not pictures for a folder`, {
        hint: 'Name a .png for a plot of all of them, or a .safetensors.',
      })
    : new FlowstepError('USAGE', `${what} cannot be shown`, {
        hint: 'Save them as .safetensors instead.',
      });
}

/** A single picture as it is; several as a grid, enlarged to be looked at; points as a plot. */
export function pictureOf(samples: Tensor<'float32'>): Picture {
  const [count, ...shape] = samples.shape;
  return count === 1 && lookOf(shape) === 'pictures'
    ? picturesOf(samples)[0]!
    : pictureOfSamples(samples);
}

/** Writes each sample as a picture of its own size, numbered on from those that are there; returns the files. */
export async function writePictures(
  folder: string,
  parts: AsyncIterable<Tensor<'float32'>>,
  workflow: RunningWorkflow | undefined,
  onPart: (written: number) => void,
): Promise<string[]> {
  await makeFolder(folder);
  const names = namesAfter(await lastNumber(folder), (number) => {
    const path = `${String(number).padStart(NUMBER_DIGITS, '0')}.png`;
    return { file: join(folder, path), path };
  });
  const files: string[] = [];
  for await (const part of parts) {
    for (const picture of picturesOf(part)) {
      const png = await pngWithWorkflow(picture, workflow);
      const written = await writeNew(names, async ({ file }) => {
        await atomicWrite(file, [png], { replace: false });
        return file;
      });
      files.push(written);
    }
    onPart(files.length);
  }
  return files;
}

/** The greatest number of a picture in the folder; -1 = none. */
async function lastNumber(folder: string): Promise<number> {
  const numbers = (await readdir(folder)).map((name) =>
    Number(/^(\d{6,12})\.png$/i.exec(name)?.[1] ?? -1),
  );
  return numbers.reduce((most, number) => Math.max(most, number), -1);
}

function picturesOf(samples: Tensor<'float32'>): Picture[] {
  return imageTensorToPictures(samplesToImageTensor(samples));
}
