/** @file The networks that Train Flow Teacher offers by name. */
import { FlowstepError } from '../errors.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { classCount, type NetworkConfig, sampleShape } from '../trainer/nn/config.ts';
import { sameShape } from '../trainer/tensor.ts';

export const NETWORK_PRESETS = {
  /** Points in the plane: seconds to train on a CPU. */
  'mlp-2d': { kind: 'mlp', dim: 2, width: 128, layers: 3, activation: 'silu', time: 'fourier' },
  /** Fashion-MNIST and other grey pictures of 28 x 28 in ten classes: 1.9 million parameters. */
  'dit-fashion': {
    kind: 'dit',
    size: 28,
    channels: 1,
    patch: 4,
    width: 128,
    depth: 6,
    heads: 4,
    classes: 10,
  },
} as const satisfies Record<string, NetworkConfig>;

export type NetworkPreset = keyof typeof NETWORK_PRESETS;

export const NETWORK_PRESET_NAMES = Object.keys(NETWORK_PRESETS) as [
  NetworkPreset,
  ...NetworkPreset[],
];

/** The preset's network, once it is sure that it fits the data. */
export function networkFor(preset: NetworkPreset, dataset: Dataset): NetworkConfig {
  const network: NetworkConfig = NETWORK_PRESETS[preset];
  const shape = sampleShape(network);
  if (!sameShape(shape, dataset.shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `network ${preset} makes samples of shape [${shape.join(', ')}], but those of data set ${dataset.name} have shape [${dataset.shape.join(', ')}]`,
      { field: 'network', hint: fittingHint(dataset) },
    );
  }
  const classes = classCount(network);
  if (classes !== 0 && classes !== dataset.classes) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `network ${preset} takes ${classes} classes, but data set ${dataset.name} has ${dataset.classes}`,
      { field: 'network', hint: fittingHint(dataset) },
    );
  }
  return network;
}

function fittingHint(dataset: Dataset): string {
  const fitting = NETWORK_PRESET_NAMES.filter((name) => {
    const classes = classCount(NETWORK_PRESETS[name]);
    const isLabelFit = classes === 0 || classes === dataset.classes;
    return isLabelFit && sameShape(sampleShape(NETWORK_PRESETS[name]), dataset.shape);
  });
  return fitting.length > 0
    ? `Networks that fit this data set: ${fitting.join(', ')}.`
    : 'No network preset fits this data set.';
}
