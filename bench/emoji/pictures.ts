/** @file Pictures of the captions: each style of each thing at several sizes and places on white. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { Dataset } from '../../src/trainer/data/dataset.ts';
import { heldDataset } from '../../src/trainer/data/held-dataset.ts';
import { sha256 } from '../../src/trainer/files/hash.ts';
import { fillUniform } from '../../src/trainer/random/philox.ts';
import { CAPTIONS } from './captions.ts';

/** Pixels a side. */
export const SIDE = 24;
const AREA = SIDE ** 2;
export const SHAPE = [3, SIDE, SIDE] as const;

/** Pictures of one thing in one style. */
const VARIANTS = 8;
/** Sides of the drawings in pixels; the rest is margin, in which a drawing lies anywhere. */
const SIZES = [22, 23] as const;
/** Drawings are made this many pixels large and then averaged. */
const LARGE = 88;
/** For drawings whose own size is 36 units or more. */
const DENSITY = 300;
/** A stream that no training uses. */
const PLACE_STREAM = 902;

/** A file of icons: bodies of SVG by name, with the sizes of their view boxes. */
interface IconSet {
  readonly icons: Readonly<Record<string, { body: string; width?: number; height?: number }>>;
  readonly width: number;
  readonly height: number;
}

export interface EmojiPictures {
  /** [count, 3, SIDE, SIDE], bytes: style by style, in each the captions in turn. */
  readonly pixels: Uint8Array;
  /** The caption of each picture, by number. */
  readonly labels: Int32Array;
  readonly hash: string;
}

/** All pictures: a function of the files alone. */
export async function drawPictures(files: readonly string[]): Promise<EmojiPictures> {
  const count = files.length * CAPTIONS.length * VARIANTS;
  const pixels = new Uint8Array(count * 3 * AREA).fill(255);
  const labels = new Int32Array(count);
  let picture = 0;
  for (const [style, file] of files.entries()) {
    const set = JSON.parse(await readFile(file, 'utf8')) as IconSet;
    for (const [label, caption] of CAPTIONS.entries()) {
      const drawings = await drawSizes(svgOf(set, caption));
      const draws = new Float32Array(3 * VARIANTS);
      fillUniform(draws, style, PLACE_STREAM, label);
      for (let i = 0; i < VARIANTS; i++, picture++) {
        const choose = (k: number, choices: number) => Math.floor(draws[3 * i + k]! * choices);
        const kind = choose(0, SIZES.length);
        const side = SIZES[kind]!;
        const free = SIDE - side + 1;
        const planes = pixels.subarray(picture * 3 * AREA, (picture + 1) * 3 * AREA);
        place(drawings[kind]!, side, planes, choose(1, free), choose(2, free));
        labels[picture] = label;
      }
    }
  }
  return { pixels, labels, hash: sha256(pixels) };
}

/** The pictures as training takes them: one class a caption. */
export function emojiDataset({ pixels, labels, hash }: EmojiPictures): Dataset {
  return heldDataset({
    name: `emoji-${CAPTIONS.length}`,
    shape: SHAPE,
    samples: pixels,
    labels,
    classes: CAPTIONS.length,
    hash,
    flip: false,
  });
}

function svgOf({ icons, width, height }: IconSet, caption: string): Buffer {
  const icon = icons[caption.replaceAll(' ', '-')];
  if (!icon) throw new Error(`there is no picture of "${caption}"`);
  const size = `0 0 ${icon.width ?? width} ${icon.height ?? height}`;
  const names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
  return Buffer.from(`<svg ${names} viewBox="${size}">${icon.body}</svg>`);
}

/** The drawing at each of the sizes, [size, size, 3] on white. */
async function drawSizes(svg: Buffer): Promise<Uint8Array[]> {
  const large = await sharp(svg, { density: DENSITY })
    .resize(LARGE, LARGE)
    .flatten({ background: 'white' })
    .png()
    .toBuffer();
  const raw = (side: number) => sharp(large).resize(side, side).toColourspace('srgb').raw();
  return Promise.all(SIZES.map((side) => raw(side).toBuffer()));
}

/** Copies a drawing [side, side, 3] into planes [3, SIDE, SIDE]. */
function place(
  drawing: Uint8Array,
  side: number,
  planes: Uint8Array,
  left: number,
  top: number,
): void {
  for (let i = 0; i < drawing.length; i++) {
    const pixel = Math.floor(i / 3);
    const [x, y] = [left + (pixel % side), top + Math.floor(pixel / side)];
    planes[(i % 3) * AREA + y * SIDE + x] = drawing[i]!;
  }
}
