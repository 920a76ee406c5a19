/** @file The networks that Train Flow Teacher offers by name. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import {
  classCount,
  type DitConfig,
  type NetworkConfig,
  NetworkConfigSchema,
  sampleShape,
} from '../trainer/nn/config.ts';
import { sameShape } from '../trainer/tensor.ts';
import { patchFor } from './patch-size.ts';

/** The network for a data set, or why there is none. */
type Preset = (dataset: Dataset) => NetworkConfig | string;

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
  /** Any vectors. */
  mlp,
  /** Square pictures and latents, with the classes of the data: about 7 million parameters. */
  'dit-s': dit({ width: 256, depth: 6, heads: 4 }),
  /** The same for more data and patience: about 39 million parameters. */
  'dit-b': dit({ width: 512, depth: 8, heads: 8 }),
} as const satisfies Record<string, Preset>;

export type NetworkPreset = keyof typeof NETWORK_PRESETS;

export const NETWORK_PRESET_NAMES = Object.keys(NETWORK_PRESETS) as [
  NetworkPreset,
  ...NetworkPreset[],
];

/** The preset's network for the data; throws SHAPE_MISMATCH when they do not fit. */
export function networkFor(preset: NetworkPreset, dataset: Dataset): NetworkConfig {
  const network = build(preset, dataset);
  if (typeof network !== 'string') return network;
  throw new FlowstepError('SHAPE_MISMATCH', `network ${preset} ${network}`, {
    field: 'network',
    hint: fittingHint(dataset),
  });
}

function build(preset: NetworkPreset, dataset: Dataset): NetworkConfig | string {
  const wanted = NETWORK_PRESETS[preset](dataset);
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
  return ({ name, shape, classes }) => {
    const [channels = 0, height = 0, width = 0] = shape;
    if (shape.length !== 3 || height !== width) {
      return `makes squares of shape [channels, size, size], but samples of data set ${name} have shape [${shape.join(', ')}]`;
    }
    const patch = patchFor(height, channels);
    if (patch === undefined) {
      return `cannot cut the samples of data set ${name} into patches: ${height} has no fitting divisor`;
    }
    return { kind: 'dit', size: height, channels, patch, ...parts, classes };
  };
}

function fittingHint(dataset: Dataset): string {
  const fitting = NETWORK_PRESET_NAMES.filter((name) => typeof build(name, dataset) !== 'string');
  return fitting.length > 0
    ? `Networks that fit this data set: ${fitting.join(', ')}.`
    : 'No network preset fits this data set; pictures can be resized by size in Flow Dataset, to 64 say.';
}
