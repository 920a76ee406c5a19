/** @file Network configurations: one schema per architecture; the type and the file metadata follow from it. */
import { z } from 'zod';
import { OnnxConfigSchema } from './onnx-config.ts';
import { hasWholeGroups } from './song-unet-plan.ts';

/** Multilayer perceptron for vectors: `layers` hidden layers of `width`; time appended as one number or as sine/cosine pairs. */
export const MlpConfigSchema = z.strictObject({
  kind: z.literal('mlp'),
  dim: z.int().min(1).max(4096),
  width: z.int().min(1).max(8192),
  layers: z.int().min(1).max(32),
  activation: z.enum(['silu', 'tanh']).default('silu'),
  time: z.enum(['append', 'fourier']).default('fourier'),
});

/** DiT (Peebles & Xie 2023), adaLN-zero, learned positions; `classes` 0 = unconditional. */
export const DitConfigSchema = z
  .strictObject({
    kind: z.literal('dit'),
    size: z.int().min(1).max(1024),
    channels: z.int().min(1).max(64),
    patch: z.int().min(1).max(64),
    width: z.int().min(2).max(8192),
    depth: z.int().min(1).max(64),
    heads: z.int().min(1).max(128),
    classes: z.int().min(0).max(100_000).default(0),
  })
  .refine((c) => c.size % c.patch === 0, {
    error: 'size must be a multiple of patch',
    path: ['patch'],
  })
  .refine((c) => c.width % (2 * c.heads) === 0, {
    error: 'width must be a multiple of 2 * heads',
    path: ['width'],
  });

/**
 * SongUNet, EDM's network for small pictures (Karras et al. 2022): `multipliers` of `width` from the largest resolution to
 * the smallest, `attention` at these resolutions. With `precondition` edm the network is a denoiser of EDM, made a
 * velocity by flow/edm.ts; with none it is the velocity itself. The defaults are DDPM++; NCSN++ has embedding fourier,
 * noiseMultiplier 2, encoder residual and filter 1, 3, 3, 1. `classes` 0 = unconditional. With `patch` above 1, squares
 * of so many pixels a side are folded into channels first, so that no layer works at the full resolution.
 */
export const SongUNetConfigSchema = z
  .strictObject({
    kind: z.literal('song-unet'),
    size: z.int().min(4).max(1024),
    channels: z.int().min(1).max(64),
    width: z.int().min(4).max(2048),
    multipliers: z.array(z.int().min(1).max(64)).min(1).max(8),
    blocks: z.int().min(1).max(32),
    attention: z.array(z.int().min(1)).default([16]),
    classes: z.int().min(0).max(100_000).default(0),
    augment: z.int().min(0).max(1024).default(0),
    embedding: z.enum(['positional', 'fourier']).default('positional'),
    noiseMultiplier: z.int().min(1).max(16).default(1),
    embeddingMultiplier: z.int().min(1).max(16).default(4),
    encoder: z.enum(['standard', 'skip', 'residual']).default('standard'),
    decoder: z.enum(['standard', 'skip']).default('standard'),
    filter: z.array(z.number()).min(2).max(8).default([1, 1]),
    precondition: z.enum(['none', 'edm']).default('none'),
    sigmaData: z.number().gt(0).default(0.5),
    patch: z.int().min(1).max(64).default(1),
  })
  .refine((c) => c.size % (c.patch * 2 ** (c.multipliers.length - 1)) === 0, {
    error: 'size / patch must be halved once for every multiplier but the first',
    path: ['multipliers'],
  })
  .refine((c) => hasWholeGroups(c), {
    error: 'the channels of some block cannot be normalised in groups; take a power of two',
    path: ['width'],
  })
  .refine((c) => c.filter.length % 2 === 0 && c.filter.reduce((a, b) => a + b, 0) !== 0, {
    error: 'filter must have an even number of elements and a sum other than 0',
    path: ['filter'],
  });

/** Width of an attention head of Stable Diffusion 3; its depth is also its number of heads. */
export const MMDIT_HEAD_WIDTH = 64;

/**
 * MM-DiT (Esser et al. 2024): `depth` blocks of width 64 depth over latents [channels, height, width] and text. `positions`
 * is the side of the position table in patches; `dualBlocks` are those with a second attention among the image's tokens
 * (MMDiT-X). The defaults are Stable Diffusion 3's for 1024 x 1024 pixels.
 */
export const MmditConfigSchema = z
  .strictObject({
    kind: z.literal('mmdit'),
    depth: z.int().min(1).max(64),
    height: z.int().min(1).max(1024).default(128),
    width: z.int().min(1).max(1024).default(128),
    channels: z.int().min(1).max(64).default(16),
    patch: z.int().min(1).max(16).default(2),
    positions: z.int().min(1).max(1024).default(192),
    contextWidth: z.int().min(1).max(65_536).default(4096),
    pooledWidth: z.int().min(1).max(65_536).default(2048),
    qkNorm: z.boolean().default(false),
    dualBlocks: z.array(z.int().min(0)).default([]),
  })
  .refine((c) => Math.max(c.height, c.width) <= c.positions * c.patch, {
    error: 'the latents have more patches than the position table',
    path: ['positions'],
  })
  .refine((c) => c.dualBlocks.every((block) => block < c.depth), {
    error: 'a dual block is not below depth',
    path: ['dualBlocks'],
  });

export const NetworkConfigSchema = z.discriminatedUnion('kind', [
  MlpConfigSchema,
  DitConfigSchema,
  MmditConfigSchema,
  SongUNetConfigSchema,
  OnnxConfigSchema,
]);

export type MlpConfig = z.infer<typeof MlpConfigSchema>;
export type DitConfig = z.infer<typeof DitConfigSchema>;
export type MmditConfig = z.infer<typeof MmditConfigSchema>;
export type SongUNetConfig = z.infer<typeof SongUNetConfigSchema>;
export type NetworkConfig = z.infer<typeof NetworkConfigSchema>;

/** Shape of one sample: [dim] or [channels, size, size]. */
export function sampleShape(config: NetworkConfig): number[] {
  switch (config.kind) {
    case 'mlp':
      return [config.dim];
    case 'dit':
    case 'song-unet':
      return [config.channels, config.size, config.size];
    case 'mmdit':
      return [config.channels, config.height, config.width];
    case 'onnx':
      return config.shape;
  }
}

/** Number of classes that the network takes as labels; 0 when unconditional. */
export function classCount(config: NetworkConfig): number {
  return 'classes' in config ? config.classes : 0;
}

export interface TextWidths {
  readonly contextWidth: number;
  /** 0 = none. */
  readonly pooledWidth: number;
  /** Tokens of every text where the network fixes it; 0 = any. */
  readonly tokens: number;
}

/** What a network takes of text; undefined when it takes none. */
export function textWidths(config: NetworkConfig): TextWidths | undefined {
  if (config.kind === 'mmdit') return { tokens: 0, ...widthsOf(config) };
  if (config.kind !== 'onnx' || config.contextWidth === 0) return undefined;
  return { tokens: config.tokens, ...widthsOf(config) };
}

const widthsOf = ({ contextWidth, pooledWidth }: Omit<TextWidths, 'tokens'>) => ({
  contextWidth,
  pooledWidth,
});
