/** @file A picture file as samples: upright, of the wanted size and channels, as bytes. */
import sharp, { type Sharp } from 'sharp';
import type { Shape } from '../tensor.ts';

/** What pictures are made into. */
export interface DecodeOptions {
  /** Side of a square in pixels: the short side is resized to it and the middle kept. 0 leaves the size as it is. */
  readonly size: number;
  readonly channels: 'rgb' | 'grey';
}

/** A picture as [channels, height, width], 0 to 255. */
export interface Pixels {
  readonly shape: Shape;
  readonly data: Uint8Array;
}

/** Goes into the names of cached files: raise it when the same picture is decoded to other bytes. */
export const DECODE_VERSION = 1;

/** Transparent parts become this: what they cover is not meant to be seen, and black is what most tools leave there. */
const BACKGROUND = '#000000';

/** Raw pixels as they come from a graph: rows of `channels` bytes a pixel. */
interface RawPicture {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
}

/** Decodes the bytes of a picture file; its first frame when it has several. Throws sharp's error for what is none. */
export async function decodePicture(file: Uint8Array, options: DecodeOptions): Promise<Pixels> {
  // Half a picture is no sample, but what decoders only warn about is.
  return convert(sharp(file, { failOn: 'error' }), options);
}

/** Makes raw pixels what `decodePicture` makes of files. */
export async function convertPicture(
  { data, ...raw }: RawPicture,
  options: DecodeOptions,
): Promise<Pixels> {
  return convert(sharp(data, { raw }), options);
}

async function convert(picture: Sharp, { size, channels }: DecodeOptions): Promise<Pixels> {
  const upright = picture.autoOrient().flatten({ background: BACKGROUND });
  const sized = size > 0 ? upright.resize(size, size, { fit: 'cover' }) : upright;
  const { data, info } = await sized
    .toColourspace(channels === 'grey' ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return {
    shape: [info.channels, info.height, info.width],
    data: toPlanes(data, info.channels),
  };
}

/** [height, width, channels] as [channels, height, width]. */
function toPlanes(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 1) return data;
  const pixels = data.length / channels;
  const out = new Uint8Array(data.length);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = data[i * channels + c]!;
  }
  return out;
}
