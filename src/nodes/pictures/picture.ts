/** @file Pictures as bytes, and their two tensor forms: samples [N, C, H, W] in [-1, 1] and ComfyUI's IMAGE [B, H, W, C] in [0, 1]. */
import sharp from 'sharp';
import { bug, FlowstepError } from '../../errors.ts';
import { atomicWrite } from '../../trainer/files/atomic-write.ts';
import { float32, type Tensor } from '../../trainer/tensor.ts';

/** Rows from top to bottom, three bytes a pixel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

const RGB = 3;

export async function encodePng(picture: Picture): Promise<Uint8Array> {
  const { width, height, rgb } = picture;
  if (rgb.length !== width * height * RGB) {
    throw bug(`a picture of ${width} x ${height} has ${rgb.length} bytes`);
  }
  return await sharp(rgb, { raw: { width, height, channels: RGB } })
    .png()
    .toBuffer();
}

/** Writes a PNG into a folder that exists; a reader never sees half a picture. */
export async function writePng(file: string, picture: Picture): Promise<void> {
  await atomicWrite(file, [await encodePng(picture)]);
}

/** One picture as ComfyUI's IMAGE: [1, H, W, 3] in [0, 1]. */
export function toImageTensor(picture: Picture): Tensor<'float32'> {
  const { width, height, rgb } = picture;
  return float32(
    Float32Array.from(rgb, (byte) => byte / 255),
    [1, height, width, RGB],
  );
}

/** Pictures of an IMAGE [B, H, W, 1 or 3]; values outside [0, 1] are clamped as ComfyUI does when it saves. */
export function imageTensorToPictures(images: Tensor<'float32'>): Picture[] {
  const [count = 0, height = 0, width = 0, channels = 0] = images.shape;
  if (images.shape.length !== 4 || (channels !== 1 && channels !== RGB)) {
    throw shapeError('an image batch', '[B, H, W, 1 or 3]', images);
  }
  const pixels = height * width;
  return Array.from({ length: count }, (_, index) => {
    const rgb = new Uint8Array(pixels * RGB);
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let c = 0; c < RGB; c++) {
        const value = images.data[(index * pixels + pixel) * channels + (c % channels)]!;
        if (Number.isNaN(value)) throw notANumber('image', index);
        rgb[pixel * RGB + c] = Math.round(clamp01(value) * 255);
      }
    }
    return { width, height, rgb };
  });
}

/** Samples [N, 1 or 3, H, W] in [-1, 1] as an IMAGE [N, H, W, 3]. Networks overshoot a little, so values are clamped. */
export function samplesToImageTensor(samples: Tensor<'float32'>): Tensor<'float32'> {
  const [count = 0, channels = 0, height = 0, width = 0] = samples.shape;
  if (samples.shape.length !== 4 || (channels !== 1 && channels !== RGB)) {
    throw shapeError('samples', '[N, 1 or 3, H, W]', samples);
  }
  const pixels = height * width;
  const out = new Float32Array(count * pixels * RGB);
  for (let index = 0; index < count; index++) {
    for (let c = 0; c < RGB; c++) {
      const plane = (index * channels + (c % channels)) * pixels;
      for (let pixel = 0; pixel < pixels; pixel++) {
        const value = samples.data[plane + pixel]!;
        if (Number.isNaN(value)) throw notANumber('sample', index);
        out[(index * pixels + pixel) * RGB + c] = clamp01((value + 1) / 2);
      }
    }
  }
  return float32(out, [count, height, width, RGB]);
}

function clamp01(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}

function shapeError(what: string, wanted: string, tensor: Tensor): FlowstepError {
  return new FlowstepError(
    'SHAPE_MISMATCH',
    `${what} of shape [${tensor.shape.join(', ')}] cannot be shown: ${wanted} is needed`,
    { hint: 'Latents are turned into pictures by VAE Decode.' },
  );
}

function notANumber(what: string, index: number): FlowstepError {
  return new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `${what} ${index} holds NaN, which has no colour`,
    {
      hint: 'The network that made it has diverged; go back to an earlier checkpoint or lower the learning rate.',
    },
  );
}
