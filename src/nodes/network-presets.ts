/** @file The networks that Train Flow Teacher offers by name. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import type { PromptSet } from '../trainer/data/prompts.ts';
import {
  classCount,
  type DitConfig,
  MmditConfigSchema,
  type NetworkConfig,
  NetworkConfigSchema,
  type SongUNetConfig,
  SongUNetConfigSchema,
  sampleShape,
} from '../trainer/nn/config.ts';
import { sameShape } from '../trainer/tensor.ts';
import { patchFor } from './patch-size.ts';

/** Of prompts, what the shape of a network depends on. */
type TextShape = Pick<PromptSet, 'contextWidth' | 'pooledWidth'>;

/** The network for a data set and its prompts, or why there is none. */
type Preset = (dataset: Dataset, prompts: TextShape | undefined) => NetworkConfig | string;

const NETWORK_PRESETS = {
  /** Points in the plane: seconds to train on a CPU. */
  'mlp-2d': fixed({
    kind: 'mlp',
    dim: 2,
    width: 128,
    layers: 3,
    activation: 'silu',
    time: 'fourier',
  }),
  /** Fashion-MNIST and other grey pictures of 28 x 28 in ten classes: 1.9 million parameters. */
  'dit-fashion': fixed({
    kind: 'dit',
    size: 28,
    channels: 1,
    patch: 4,
    width: 128,
    depth: 6,
    heads: 4,
    classes: 10,
  }),
  /** The same pictures with convolutions: 0.4 million parameters, 66 MFLOP a picture. */
  'unet-fashion': fixed(
    SongUNetConfigSchema.parse({
      kind: 'song-unet',
      size: 28,
      channels: 1,
      patch: 2,
      width: 24,
      multipliers: [1, 2],
      blocks: 1,
      attention: [7],
      classes: 10,
      precondition: 'edm',
      sigmaData: 0.75,
    }),
  ),
  /** Any vectors. */
  mlp,
  /** Square pictures and latents, with the classes of the data: about 7 million parameters. */
  'dit-s': dit({ width: 256, depth: 6, heads: 4 }),
  /** The same for more data and patience: about 39 million parameters. */
  'dit-b': dit({ width: 512, depth: 8, heads: 8 }),
  /** EDM's network for CIFAR-10 (DDPM++) as a denoiser of EDM: 56 million parameters; other sizes and classes by the data. */
  'song-unet': songUNet({
    width: 128,
    multipliers: [2, 2, 2],
    blocks: 4,
    attention: [16],
    augment: 9,
    precondition: 'edm',
  }),
  /** A SongUNet that is the velocity itself, with the levels of torchcfm's network for CIFAR-10: 39 million parameters. */
  'song-unet-flow': songUNet({
    width: 128,
    multipliers: [1, 2, 2, 2],
    blocks: 2,
    attention: [16],
    augment: 9,
  }),
  /** The same in small, to try things out: about a million parameters. */
  'song-unet-s': songUNet({
    width: 32,
    multipliers: [1, 2, 2],
    blocks: 1,
    attention: [8],
    augment: 9,
  }),
  /** Square pictures and latents with prompts, as Stable Diffusion 3 in small: about 9 million parameters. */
  'mmdit-s': mmdit(4),
} as const satisfies Record<string, Preset>;

export type NetworkPreset = keyof typeof NETWORK_PRESETS;

export const NETWORK_PRESET_NAMES = Object.keys(NETWORK_PRESETS) as [
  NetworkPreset,
  ...NetworkPreset[],
];

/** The preset's network for the data and prompts; throws SHAPE_MISMATCH when they do not fit. */
export function networkFor(
  preset: NetworkPreset,
  dataset: Dataset,
  prompts?: TextShape,
): NetworkConfig {
  const network = build(preset, dataset, prompts);
  if (typeof network !== 'string') return network;
  throw new FlowstepError('SHAPE_MISMATCH', `network ${preset} ${network}`, {
    field: 'network',
    hint: fittingHint(dataset, prompts),
  });
}

function build(
  preset: NetworkPreset,
  dataset: Dataset,
  prompts: TextShape | undefined,
): NetworkConfig | string {
  const wanted: NetworkConfig | string = (NETWORK_PRESETS[preset] as Preset)(dataset, prompts);
  if (typeof wanted === 'string') return wanted;
  const checked = NetworkConfigSchema.safeParse(wanted);
  if (checked.success) return wanted;
  return `cannot be made for data set ${dataset.name}: ${z.prettifyError(checked.error)}`;
}

/** A network that is what it is, as models and workflows that name it rely on. */
function fixed(network: NetworkConfig): Preset {
  return (dataset) => {
    const shape = sampleShape(network);
    if (!sameShape(shape, dataset.shape)) {
      return `makes samples of shape [${shape.join(', ')}], but those of data set ${dataset.name} have shape [${dataset.shape.join(', ')}]`;
    }
    const classes = classCount(network);
    if (classes !== 0 && classes !== dataset.classes) {
      return `takes ${classes} classes, but data set ${dataset.name} has ${dataset.classes}`;
    }
    return network;
  };
}

function mlp({ name, shape }: Dataset): NetworkConfig | string {
  const [dim, ...rest] = shape;
  if (dim === undefined || rest.length > 0) {
    return `makes vectors, but samples of data set ${name} have shape [${shape.join(', ')}]`;
  }
  return { kind: 'mlp', dim, width: 256, layers: 4, activation: 'silu', time: 'fourier' };
}

function dit(parts: Pick<DitConfig, 'width' | 'depth' | 'heads'>): Preset {
  return (dataset) => {
    const squares = squaresOf(dataset);
    if (typeof squares === 'string') return squares;
    const { channels, size, patch } = squares;
    return { kind: 'dit', size, channels, patch, ...parts, classes: dataset.classes };
  };
}

function songUNet(parts: Partial<SongUNetConfig>): Preset {
  return ({ name, shape, classes }) => {
    const [channels = 0, size = 0, width = 0] = shape;
    if (shape.length !== 3 || size !== width) return notSquares(name, shape);
    const wanted = { kind: 'song-unet', size, channels, classes, ...parts };
    const { success, data, error } = SongUNetConfigSchema.safeParse(wanted);
    return success
      ? data
      : `cannot be made for data set ${name}: ${error.issues.map(({ message }) => message).join('; ')}`;
  };
}

function mmdit(depth: number): Preset {
  return (dataset, prompts) => {
    const squares = squaresOf(dataset);
    if (typeof squares === 'string') return squares;
    if (!prompts) return `takes text, and there are no prompts for data set ${dataset.name}`;
    const { channels, size, patch } = squares;
    const { contextWidth, pooledWidth } = prompts;
    return MmditConfigSchema.parse({
      ...{ kind: 'mmdit', depth, height: size, width: size, channels, patch },
      ...{ positions: size / patch, contextWidth, pooledWidth },
    });
  };
}

/** How square samples are cut into patches, or why they cannot be. */
function squaresOf({ name, shape }: Dataset) {
  const [channels = 0, size = 0, width = 0] = shape;
  if (shape.length !== 3 || size !== width) {
    return notSquares(name, shape);
  }
  const patch = patchFor(size, channels);
  if (patch !== undefined) return { channels, size, patch };
  return `cannot cut the samples of data set ${name} into patches: ${size} has no fitting divisor`;
}

const notSquares = (name: string, shape: readonly number[]) =>
  `makes squares of shape [channels, size, size], but samples of data set ${name} have shape [${shape.join(', ')}]`;

function fittingHint(dataset: Dataset, prompts: TextShape | undefined): string {
  const fitting = NETWORK_PRESET_NAMES.filter(
    (name) => typeof build(name, dataset, prompts) !== 'string',
  );
  return fitting.length > 0
    ? `Networks that fit this data set: ${fitting.join(', ')}.`
    : 'No network preset fits this data set; pictures can be resized by size in Flow Dataset (--size), to 64 say.';
}
