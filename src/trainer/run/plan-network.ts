/** @file Networks to plan for: the released ones by name, and those of files, whose weights are not read. */
import { FlowstepError } from '../../errors.ts';
import { isOnnxPath } from '../files/onnx-declaration.ts';
import { openOnnxNetwork } from '../files/onnx-model.ts';
import { readSafetensorsHeader } from '../files/safetensors.ts';
import { recogniseSd3 } from '../files/sd3-checkpoint.ts';
import { MmditConfigSchema, type NetworkConfig, SongUNetConfigSchema } from '../nn/config.ts';
import { INFO_KEY, parseModelInfo } from './model-metadata.ts';

/** Stable Diffusion 3 and 3.5 as released, and EDM's class-conditional network for CIFAR-10 (DDPM++). */
const RELEASED = {
  'sd3-medium': MmditConfigSchema.parse({ kind: 'mmdit', depth: 24 }),
  'sd3.5-medium': MmditConfigSchema.parse({
    kind: 'mmdit',
    depth: 24,
    positions: 384,
    qkNorm: true,
    dualBlocks: Array.from({ length: 13 }, (_, block) => block),
  }),
  'sd3.5-large': MmditConfigSchema.parse({ kind: 'mmdit', depth: 38, qkNorm: true }),
  'edm-cifar': SongUNetConfigSchema.parse({
    kind: 'song-unet',
    size: 32,
    channels: 3,
    width: 128,
    multipliers: [2, 2, 2],
    blocks: 4,
    classes: 10,
    augment: 9,
    precondition: 'edm',
  }),
} as const satisfies Record<string, NetworkConfig>;

export const RELEASED_NETWORKS = Object.keys(RELEASED) as (keyof typeof RELEASED)[];

export function releasedNetwork(name: string): NetworkConfig | undefined {
  return RELEASED_NETWORKS.includes(name as keyof typeof RELEASED)
    ? RELEASED[name as keyof typeof RELEASED]
    : undefined;
}

/** The network of a model of ours, of a Stable Diffusion 3 checkpoint or of an .onnx file. Throws as loading them does. */
export async function networkOfFile(path: string): Promise<NetworkConfig> {
  if (isOnnxPath(path)) return (await openOnnxNetwork(path)).config;
  const header = await readSafetensorsHeader(path);
  return INFO_KEY in header.metadata
    ? parseModelInfo(path, header.metadata).network
    : recogniseSd3(path, header).config;
}

/** Pixels of a picture's side for each of its latent's, with the decoder of Stable Diffusion 3. */
const PIXELS = 8;

/** The network for pictures of `pixels` a side. Throws VALUE_OUT_OF_RANGE when there is none. */
export function atResolution(network: NetworkConfig, pixels: number): NetworkConfig {
  const refuse = (why: string) =>
    new FlowstepError('VALUE_OUT_OF_RANGE', `the network cannot work on ${pixels} pixels: ${why}`, {
      field: 'resolution',
      hint: "Leave --resolution out for the network's own.",
    });
  switch (network.kind) {
    case 'mmdit': {
      const side = pixels / PIXELS;
      const sized = MmditConfigSchema.safeParse({ ...network, height: side, width: side });
      if (sized.success) return sized.data;
      throw refuse(sized.error.issues[0]!.message);
    }
    case 'song-unet': {
      const sized = SongUNetConfigSchema.safeParse({ ...network, size: pixels });
      if (sized.success) return sized.data;
      throw refuse(sized.error.issues[0]!.message);
    }
    default:
      throw refuse('its size is part of it');
  }
}
