/** @file Network configurations: one schema per architecture; the type and the file metadata follow from it. */
import { z } from 'zod';

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

export const NetworkConfigSchema = z.discriminatedUnion('kind', [MlpConfigSchema, DitConfigSchema]);

export type MlpConfig = z.infer<typeof MlpConfigSchema>;
export type DitConfig = z.infer<typeof DitConfigSchema>;
export type NetworkConfig = z.infer<typeof NetworkConfigSchema>;

/** Shape of one sample: [dim] or [channels, size, size]. */
export function sampleShape(config: NetworkConfig): number[] {
  return config.kind === 'mlp' ? [config.dim] : [config.channels, config.size, config.size];
}

/** Number of classes that the network takes as labels; 0 when unconditional. */
export function classCount(config: NetworkConfig): number {
  return config.kind === 'dit' ? config.classes : 0;
}
