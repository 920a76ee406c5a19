/** @file What an extractor does to pictures before its network sees them: size, channels and values. */
import sharp from 'sharp';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';

/** One number, or one for each channel of the network's input. */
const PerChannelSchema = z.union([z.number(), z.array(z.number()).min(1).max(4)]);

export const PreprocessingSchema = z.strictObject({
  /** Side in pixels that pictures are resized to; null leaves them as they are. */
  size: z.int().min(1).max(1024).nullable(),
  /**
   * `bilinear-tf1` is TensorFlow 1's: pixels at their corners, four neighbours whatever the scale, float results.
   * The others smooth before they shrink, as PIL does, and give bytes.
   */
  filter: z.enum(['bilinear-tf1', 'bilinear', 'bicubic', 'lanczos3']),
  /** Order of the channels that the network expects. */
  channels: z.enum(['rgb', 'bgr', 'grey']),
  layout: z.enum(['nchw', 'nhwc']),
  /** A byte b becomes (b - subtract) / divide. */
  subtract: PerChannelSchema,
  divide: PerChannelSchema.refine((d) => [d].flat().every((v) => v !== 0), 'must not be 0'),
});

export type Preprocessing = z.infer<typeof PreprocessingSchema>;

/**
 * How the scores of the literature are taken (clean-fid's `legacy_tensorflow`, EDM's fid.py): bytes, 299 x 299 by
 * TensorFlow 1's bilinear filter, (b - 128) / 128. For an Inception-v3 whose file resizes and scales by itself, as
 * NVIDIA's does, give size null, subtract 0 and divide 1.
 */
export const LEGACY_TENSORFLOW: Preprocessing = {
  size: 299,
  filter: 'bilinear-tf1',
  channels: 'rgb',
  layout: 'nchw',
  subtract: 128,
  divide: 128,
};

/** Pictures as bytes [count, channels, height, width], red first. */
export interface Pictures {
  readonly shape: readonly [count: number, channels: number, height: number, width: number];
  readonly data: Uint8Array;
}

/** Values of any size in one plane. */
type Plane = Float32Array | Uint8Array;

/** Samples in [-1, 1] as bytes, cut off and not rounded, as EDM's and most samplers do before FID. */
export function toPictures(samples: Float32Array, shape: Pictures['shape']): Pictures {
  const data = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (Number.isNaN(value)) {
      throw new FlowstepError('VALUE_OUT_OF_RANGE', `sample value ${i} is NaN`, {
        hint: 'Look at what made the samples: a network that has diverged.',
      });
    }
    data[i] = Math.floor(Math.min(Math.max(value * 127.5 + 128, 0), 255));
  }
  return { shape, data };
}

/** Pictures as a network's input, of the shape that `preprocessedShape` gives. Throws SHAPE_MISMATCH. */
export async function preprocess(
  pictures: Pictures,
  options: Preprocessing,
): Promise<Float32Array> {
  const [count, channels, height, width] = pictures.shape;
  const [, wanted, outHeight, outWidth] = preprocessedShape(pictures.shape, options);
  const area = outHeight * outWidth;
  const out = new Float32Array(count * wanted * area);
  for (let n = 0; n < count; n++) {
    const from = n * channels * height * width;
    const picture = pictures.data.subarray(from, from + channels * height * width);
    const planes = await resized(picture, channels, height, width, options);
    for (let c = 0; c < wanted; c++) {
      const source = channels === 1 ? 0 : options.channels === 'bgr' ? channels - 1 - c : c;
      const plane = planes[source]!;
      const subtract = ofChannel(options.subtract, c);
      const divide = ofChannel(options.divide, c);
      const isPlanar = options.layout === 'nchw';
      const start = n * wanted * area + (isPlanar ? c * area : c);
      const stride = isPlanar ? 1 : wanted;
      for (let i = 0; i < area; i++) out[start + i * stride] = (plane[i]! - subtract) / divide;
    }
  }
  return out;
}

/** [count, channels, height, width] of the network's input, whatever its layout. Throws SHAPE_MISMATCH. */
export function preprocessedShape(
  shape: Pictures['shape'],
  { size, channels: order, subtract, divide }: Preprocessing,
): Pictures['shape'] {
  const [count, channels, height, width] = shape;
  const wanted = order === 'grey' ? 1 : 3;
  if (channels !== wanted && channels !== 1) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `pictures of ${channels} channels do not fit an extractor for ${order} pictures`,
      { hint: 'Take an extractor that was made for such pictures.' },
    );
  }
  for (const list of [subtract, divide]) {
    if (Array.isArray(list) && list.length !== wanted) {
      throw new FlowstepError(
        'SHAPE_MISMATCH',
        `the preprocessing has values for ${list.length} channels; the network takes ${wanted}`,
        { hint: 'Give one number, or one for each channel.' },
      );
    }
  }
  return [count, wanted, size ?? height, size ?? width];
}

function ofChannel(value: number | readonly number[], channel: number): number {
  return typeof value === 'number' ? value : value[channel]!;
}

async function resized(
  picture: Uint8Array,
  channels: number,
  height: number,
  width: number,
  { size, filter }: Preprocessing,
): Promise<Plane[]> {
  const area = height * width;
  const planes = Array.from({ length: channels }, (_, c) =>
    picture.subarray(c * area, (c + 1) * area),
  );
  if (size === null || (size === height && size === width)) return planes;
  if (filter === 'bilinear-tf1') return planes.map((p) => bilinearTf1(p, height, width, size));
  return Promise.all(planes.map((p) => smoothed(p, height, width, size, filter)));
}

/** tf.image.resize_bilinear of TensorFlow 1 with align_corners=False: output pixel i looks at i * scale. */
function bilinearTf1(plane: Uint8Array, height: number, width: number, size: number): Float32Array {
  const out = new Float32Array(size * size);
  const columns = taps(width, size);
  for (const [y, row] of taps(height, size).entries()) {
    const above = row.low * width;
    const below = row.high * width;
    for (const [x, { low, high, weight }] of columns.entries()) {
      const top = plane[above + low]! + (plane[above + high]! - plane[above + low]!) * weight;
      const bottom = plane[below + low]! + (plane[below + high]! - plane[below + low]!) * weight;
      out[y * size + x] = top + (bottom - top) * row.weight;
    }
  }
  return out;
}

/** The two pixels that each output pixel lies between, and how near it is to the second. */
function taps(from: number, to: number) {
  return Array.from({ length: to }, (_, i) => {
    const at = (i * from) / to;
    const low = Math.floor(at);
    return { low, high: Math.min(low + 1, from - 1), weight: at - low };
  });
}

const SHARP_KERNELS = { bilinear: 'linear', bicubic: 'cubic', lanczos3: 'lanczos3' } as const;

async function smoothed(
  plane: Uint8Array,
  height: number,
  width: number,
  size: number,
  filter: keyof typeof SHARP_KERNELS,
): Promise<Uint8Array> {
  return sharp(plane, { raw: { width, height, channels: 1 } })
    .resize(size, size, { fit: 'fill', kernel: SHARP_KERNELS[filter] })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
}
