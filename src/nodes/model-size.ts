/** @file The size of samples, where a network leaves it open: that of a LATENT, or of pictures in pixels. */
import { FlowstepError } from '../errors.ts';
import { MmditConfigSchema, type NetworkConfig, sampleShape } from '../trainer/nn/config.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { type Shape, sameShape } from '../trainer/tensor.ts';
import type { Latent } from './handles.ts';

/** Pixels of a picture's side for each of its latent's, with the decoder of Stable Diffusion 3. */
const PIXELS = 8;

/** Stands for the model's own size. */
const AS_THE_MODEL = 0;

/**
 * The model for samples of a LATENT's size, and how many it asks for; only its shape counts, as a full denoise starts from
 * pure noise. Throws SHAPE_MISMATCH when the model cannot make that size.
 */
export function fittedToLatent(
  model: FlowModel,
  latent: Latent,
): { readonly model: FlowModel; readonly count: number } {
  const { shape, data } = latent.samples;
  const [count = 0, ...size] = shape;
  const [channels = 0, height = 0, width = 0] = size;
  const wanted = sampleShape(model.info.network);
  if (count > 0 && sameShape(size, wanted)) return { model, count };
  // Empty Latent Image has another number of channels; ComfyUI's samplers overlook that while it is all zeros.
  const fits = size.length === 3 && (channels === wanted[0] || data.every((z) => z === 0));
  const resized = fits ? withSize(model, height, width) : undefined;
  if (count > 0 && resized) return { model: resized, count };
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the latent has shape [${shape.join(', ')}], but the model makes [count, ${wanted.join(', ')}]`,
    {
      field: 'latent',
      hint: 'Set the empty latent to the size of the model, or use count instead.',
    },
  );
}

/** The model for pictures of a size in pixels; 0 = as it is. Throws SHAPE_MISMATCH when the model cannot make that size. */
export function fittedToPixels(model: FlowModel, width: number, height: number): FlowModel {
  if (width === AS_THE_MODEL && height === AS_THE_MODEL) return model;
  const resized = withSize(model, height / PIXELS, width / PIXELS);
  if (resized) return resized;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the model makes [${sampleShape(model.info.network).join(', ')}], and pictures of ${width} x ${height} pixels are asked for`,
    { field: 'width', hint: `Set width and height to 0, or both to a size that it can make.` },
  );
}

/** The model for samples of a shape where it can make them; else as it is. */
export function fittedToSamples(model: FlowModel, shape: Shape): FlowModel {
  const [, height = 0, width = 0] = shape;
  return withSize(model, height, width) ?? model;
}

/** A network of text makes latents of any size that its position table covers. */
function withSize(model: FlowModel, height: number, width: number): FlowModel | undefined {
  const network = resized(model.info.network, height, width);
  return network && { ...model, info: { ...model.info, network } };
}

function resized(network: NetworkConfig, height: number, width: number) {
  if (network.kind !== 'mmdit') return undefined;
  const other = MmditConfigSchema.safeParse({ ...network, height, width });
  return other.success ? other.data : undefined;
}
