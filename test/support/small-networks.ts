/** @file One small model of every network, with weights that all have an effect. */
import { type NetworkConfig, NetworkConfigSchema } from '../../src/trainer/nn/config.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { smallMmdit } from './small-mmdit.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from './tiny-models.ts';

export const TINY_UNET = NetworkConfigSchema.parse({
  kind: 'song-unet',
  size: 8,
  channels: 3,
  width: 8,
  multipliers: [1, 2],
  blocks: 1,
  attention: [4],
  classes: 2,
  precondition: 'edm',
});

/** By name: every kind of network, with what it may be conditioned on. */
export const SMALL_NETWORKS = {
  MLP: TINY_MLP,
  'DiT with labels': TINY_DIT,
  'SongUNet of EDM with labels': TINY_UNET,
  'MM-DiT': smallMmdit({ qkNorm: true, dualBlocks: [0] }),
} as const;

/** A model with weights so small that samples are of the size of noise, and not of 30. */
export function smallModel(
  network: NetworkConfig,
  student?: Parameters<typeof tinyModel>[1],
): FlowModel {
  const { info, parameters } = tinyModel(network, student);
  return { info, parameters: parameters.map((w) => 0.5 * w) };
}
