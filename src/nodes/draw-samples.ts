/** @file From a model and a seed to samples, and from samples to something to look at. */
import { FlowstepError } from '../errors.ts';
import type { PromptSet } from '../trainer/data/prompts.ts';
import type { Guidance } from '../trainer/flow/guidance.ts';
import { latentOut, SD3_CHANNELS } from '../trainer/flow/sd3-latent.ts';
import { classCount, type NetworkConfig, sampleShape, textWidths } from '../trainer/nn/config.ts';
import { NoiseParts, prepareNoise, transitionNoise } from '../trainer/random/torch-noise.ts';
import { type ConditionRows, conditionSource, type TextRows } from '../trainer/run/conditions.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { Progress } from '../trainer/run/progress.ts';
import {
  type OnStep,
  type Sampler,
  sample,
  sampledBatch,
  samplerFor,
} from '../trainer/run/sample.ts';
import { checkRequest, type SampleRequest, type Solver } from '../trainer/run/sample-request.ts';
import { float32, type Shape, sizeOf, type Tensor } from '../trainer/tensor.ts';
import { requireGuidable } from './guidance-inputs.ts';
import type { NodeContext } from './node-context.ts';
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
  /** Places in the batch that the samples are taken from, as a LATENT has them; left out = 0, 1, 2, ... */
  readonly indices?: readonly number[] | undefined;
  /** One class (or one of the prompts) for all samples; EVERY_CLASS or left out = each in turn. */
  readonly label?: number;
  /** For models that take text: one for all samples or one for each, or prompts to choose from. */
  readonly text?: TextRows | undefined;
  readonly prompts?: PromptSet | undefined;
  /** Classifier-free guidance; left out = none. */
  readonly guidance?: Guidance | undefined;
  /** What guidance leads away from; left out = no class, or the empty prompt. */
  readonly negative?: TextRows | undefined;
}

/** Samples of the model from the noise that ComfyUI would draw for the same seed. */
export async function drawSamples(
  model: FlowModel,
  request: DrawRequest,
  signal?: AbortSignal,
  onProgress?: NodeContext['onProgress'],
): Promise<Tensor<'float32'>> {
  requireFittingSolver(model, request.solver);
  const { seed, count, indices } = request;
  const shape = [count, ...sampleShape(model.info.network)];
  const freshNoise = transitionNoise(shape, seed, transitionsOf(model), indices);
  const noise = prepareNoise(shape, seed, indices);
  const wanted = await sampleRequest(model, request, noise, freshNoise);
  return sample(model, wanted, signal, onProgress && stepTeller(onProgress));
}

/** The same samples to the bit, part by part, so that memory stays bounded however many there are. */
export async function* drawInParts(
  model: FlowModel,
  request: Omit<DrawRequest, 'indices'>,
  signal?: AbortSignal,
): AsyncGenerator<Tensor<'float32'>> {
  requireFittingSolver(model, request.solver);
  const { network } = model.info;
  const shape = [request.count, ...sampleShape(network)];
  const parts = new NoiseParts(shape, request.seed, transitionsOf(model));
  let sampler: Sampler | undefined;
  try {
    for (let from = 0; from < request.count; ) {
      const { noise, freshNoise } = parts.next(sampledBatch(network));
      const count = noise.shape[0]!;
      const indices = Array.from({ length: count }, (_, i) => from + i);
      const part = { ...request, count, indices };
      const wanted = await sampleRequest(model, part, noise, freshNoise);
      checkRequest(model, wanted);
      sampler ??= samplerFor(model, wanted, request.count);
      yield await sampler.run(wanted, signal);
      from += count;
    }
  } finally {
    sampler?.dispose();
  }
}

/** How often a student adds fresh noise. */
function transitionsOf({ info: { student } }: FlowModel): number {
  return student?.transition === 'fresh' ? student.grid.length - 1 : 0;
}

async function sampleRequest(
  model: FlowModel,
  request: DrawRequest,
  noise: Tensor<'float32'>,
  freshNoise: readonly Tensor<'float32'>[],
): Promise<SampleRequest> {
  const { solver, steps, guidance, negative } = request;
  if (guidance) requireGuidable(model.info.network);
  return {
    solver,
    ...(steps !== undefined && { steps }),
    noise,
    ...(await conditionFor(model, request)),
    ...(guidance && {
      guidance: {
        ...guidance,
        negative: negative ? { text: negative } : emptyOf(model, request),
      },
    }),
    freshNoise,
  };
}

/** Tells of steps as of those of a training. */
function stepTeller(onProgress: NodeContext['onProgress']): OnStep {
  let progress: Progress | undefined;
  let last = performance.now();
  return (step, steps) => {
    progress ??= new Progress(steps);
    const now = performance.now();
    onProgress({ kind: 'step', step, steps, metrics: {}, ...progress.tick(step, now - last) });
    last = now;
  };
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

async function conditionFor(model: FlowModel, request: DrawRequest): Promise<ConditionRows> {
  const { text, prompts } = request;
  if (text) return { text };
  const { network } = model.info;
  if (!prompts) return { labels: choicesFor(classCount(network), request) };
  const { rows } = conditionSource(network, prompts);
  const choices = choicesFor(prompts.count, request);
  return choices ? rows(choices) : {};
}

/** What stands for no condition. */
function emptyOf({ info }: FlowModel, { text, prompts }: DrawRequest): ConditionRows {
  if (prompts) return { text: prompts.empty };
  if (!text) return {};
  // As ConditioningZeroOut gives.
  const zero = ({ shape }: Tensor<'float32'>) => {
    const one = shape.with(0, 1);
    return float32(new Float32Array(sizeOf(one)), one);
  };
  if (!textWidths(info.network)) return {};
  return { text: { context: zero(text.context), pooled: zero(text.pooled) } };
}

/** Classes or prompts by number, one for each sample; undefined when there are none to choose from. */
function choicesFor(
  classes: number,
  { label, count, indices }: DrawRequest,
): Int32Array | undefined {
  const every = label === undefined || label === EVERY_CLASS;
  if (classes === 0) {
    if (every) return undefined;
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `label ${label} for a model without classes`, {
      field: 'label',
      hint: 'Leave the label out.',
    });
  }
  if (every) return Int32Array.from({ length: count }, (_, i) => (indices?.[i] ?? i) % classes);
  if (!Number.isInteger(label) || label < 0 || label >= classes) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `label ${label}: the model has ${classes} classes`,
      { field: 'label', hint: `Labels go from 0 to ${classes - 1}.` },
    );
  }
  return new Int32Array(count).fill(label);
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

/** Outputs of a sampler node: the samples, with their places in a batch if they had any, and an IMAGE where there is something to see. */
export function samplerResult(
  { info }: FlowModel,
  samples: Tensor<'float32'>,
  { indices }: Pick<DrawRequest, 'indices'>,
) {
  const latent = {
    samples: onWire(info.network, samples),
    ...(indices && { batch_index: [...indices] }),
  };
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

/** Latents of Stable Diffusion 3 travel as its decoder takes them, not as its network does. */
function onWire(network: NetworkConfig, samples: Tensor<'float32'>): Tensor<'float32'> {
  const isSd3 = network.kind === 'mmdit' && network.channels === SD3_CHANNELS;
  return isSd3 ? float32(latentOut(samples.data), samples.shape) : samples;
}
