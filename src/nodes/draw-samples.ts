/** @file From a model and a seed to samples, and from samples to something to look at. */
import { FlowstepError } from '../errors.ts';
import { classCount, sampleShape } from '../trainer/nn/config.ts';
import { prepareNoise } from '../trainer/random/torch-noise.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { sample } from '../trainer/run/sample.ts';
import type { Solver } from '../trainer/run/sample-request.ts';
import { type Shape, sameShape, type Tensor } from '../trainer/tensor.ts';
import type { Latent } from './handles.ts';
import { pictureGrid } from './pictures/grid.ts';
import { type Picture, samplesToImageTensor, toImageTensor } from './pictures/picture.ts';
import { scatterPlot } from './pictures/plots.ts';

/** Stands for "each class in turn". */
export const EVERY_CLASS = -1;

export interface DrawRequest {
  readonly solver: Solver;
  /** Of a student: left out = as many as it was trained for. */
  readonly steps?: number;
  readonly seed: number;
  readonly count: number;
  /** One class for all samples; EVERY_CLASS or left out = each in turn. */
  readonly label?: number;
}

/** Samples of the model from the noise that ComfyUI would draw for the same seed. */
export async function drawSamples(
  model: FlowModel,
  request: DrawRequest,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  requireFittingSolver(model, request.solver);
  const labels = labelsFor(model, request);
  const shape = [request.count, ...sampleShape(model.info.network)];
  const { solver, steps, seed } = request;
  const { student } = model.info;
  return sample(
    model,
    {
      solver,
      ...(steps !== undefined && { steps }),
      noise: prepareNoise(shape, seed),
      ...(labels && { labels }),
      ...(student?.transition === 'fresh' && {
        freshNoise: student.grid.slice(1).map((_, k) => prepareNoise(shape, seed + 1 + k)),
      }),
    },
    signal,
  );
}

function requireFittingSolver(model: FlowModel, solver: Solver): void {
  const isStudent = model.info.role === 'student';
  if (isStudent === (solver === 'one-step')) return;
  throw isStudent
    ? new FlowstepError('MODEL_INVALID', `a student cannot be sampled by ${solver}`, {
        field: 'model',
        hint: 'It has steps of its own: use One-Step Sampler, or --solver one-step.',
      })
    : new FlowstepError('MODEL_INVALID', `a ${model.info.role} cannot be sampled in one step`, {
        field: 'model',
        hint: 'Use Flow Sampler (or --solver euler), or distil the model first.',
      });
}

function labelsFor(model: FlowModel, { label, count }: DrawRequest): Int32Array | undefined {
  const classes = classCount(model.info.network);
  const every = label === undefined || label === EVERY_CLASS;
  if (classes === 0) {
    if (every) return undefined;
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `label ${label} for a model without classes`, {
      field: 'label',
      hint: 'Leave the label out.',
    });
  }
  if (every) return Int32Array.from({ length: count }, (_, i) => i % classes);
  if (!Number.isInteger(label) || label < 0 || label >= classes) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `label ${label}: the model has ${classes} classes`,
      {
        field: 'label',
        hint: `Labels go from 0 to ${classes - 1}.`,
      },
    );
  }
  return new Int32Array(count).fill(label);
}

/** How many samples a LATENT asks for; only its shape counts, as a full denoise starts from pure noise. */
export function countOfLatent(model: FlowModel, latent: Latent): number {
  const [count = 0, ...shape] = latent.samples.shape;
  const wanted = sampleShape(model.info.network);
  if (count > 0 && sameShape(shape, wanted)) return count;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the latent has shape [${latent.samples.shape.join(', ')}], but the model makes [count, ${wanted.join(', ')}]`,
    {
      field: 'latent',
      hint: 'Set the empty latent to the size of the model, or use count instead.',
    },
  );
}

/** How samples of one shape are shown. */
export type Look = 'pictures' | 'points' | 'none';

/** Pictures of 1 or 3 channels and points in the plane can be shown; latents need a decoder first. */
export function lookOf(shape: Shape): Look {
  if (shape.length === 3 && (shape[0] === 1 || shape[0] === 3)) return 'pictures';
  return shape.length === 1 && shape[0] === 2 ? 'points' : 'none';
}

/** Samples as one picture: a grid, or a scatter plot. */
export function pictureOfSamples(samples: Tensor<'float32'>): Picture {
  switch (lookOf(samples.shape.slice(1))) {
    case 'pictures':
      return pictureGrid(samples);
    case 'points':
      return scatterPlot(samples);
    case 'none':
      throw new FlowstepError(
        'SHAPE_MISMATCH',
        `samples of shape [${samples.shape.slice(1).join(', ')}] cannot be shown`,
        { hint: 'Save them as .safetensors instead.' },
      );
  }
}

/** Outputs of a sampler node: the samples, and an IMAGE where there is something to see. */
export function samplerResult(samples: Tensor<'float32'>) {
  const latent = { samples };
  switch (lookOf(samples.shape.slice(1))) {
    case 'pictures':
      return { outputs: { latent, image: samplesToImageTensor(samples) } };
    case 'points':
      return { outputs: { latent, image: toImageTensor(scatterPlot(samples)) } };
    case 'none':
      return {
        outputs: { latent },
        blocked: {
          image: 'these samples are no pictures: decode the LATENT with VAE Decode first',
        },
      };
  }
}
