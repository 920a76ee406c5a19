/** @file What golden cases of Stable Diffusion 3's network say, and that network over their inputs. */
import { z } from 'zod';
import { float16ToFloat32 } from '../../src/trainer/files/float16.ts';
import { Graph, type Value } from '../../src/trainer/graph/graph.ts';
import { type MmditConfig, MmditConfigSchema } from '../../src/trainer/nn/config.ts';
import { velocity } from '../../src/trainer/nn/network.ts';
import type { Scope } from '../../src/trainer/nn/parameters.ts';
import type { Tensor } from '../../src/trainer/tensor.ts';
import type { RealType } from './gradcheck.ts';

/** Prefix of the network's tensors in the case's files. */
export const PREFIX = 'model.diffusion_model.';

export const NetworkSchema = z.object({
  config: z.object({
    depth: z.int(),
    patch_size: z.int(),
    in_channels: z.int(),
    pos_embed_max_size: z.int(),
    context_dim: z.int(),
    pooled_dim: z.int(),
    qk_norm: z.literal('rms').nullable(),
    x_block_self_attn_layers: z.array(z.int()),
    latent_hw: z.tuple([z.int(), z.int()]),
  }),
});

/** The configuration of a case's network, from its sidecar. */
export function networkOf(sidecar: unknown): MmditConfig {
  const { config } = NetworkSchema.parse(sidecar);
  return MmditConfigSchema.parse({
    kind: 'mmdit',
    depth: config.depth,
    height: config.latent_hw[0],
    width: config.latent_hw[1],
    channels: config.in_channels,
    patch: config.patch_size,
    positions: config.pos_embed_max_size,
    contextWidth: config.context_dim,
    pooledWidth: config.pooled_dim,
    qkNorm: config.qk_norm === 'rms',
    dualBlocks: config.x_block_self_attn_layers,
  });
}

/** The values of a tensor; float16 is widened. */
export function numbers({ dtype, data }: Tensor): Float64Array {
  const plain = dtype === 'float16' ? float16ToFloat32(data as Uint16Array) : data;
  return Float64Array.from<number | bigint>(plain, Number);
}

/** The case's inputs x, t, context and y as inputs of a graph, and the velocity at them. */
export function networkGraph(
  config: MmditConfig,
  io: ReadonlyMap<string, Tensor>,
  dtype: RealType,
  scopeOf: (graph: Graph) => Scope,
): { graph: Graph; inputs: Record<'x' | 'context' | 'y', Value>; out: Value } {
  const graph = new Graph();
  const input = (name: string) => graph.input(name, io.get(name)!.shape, dtype);
  const inputs = { x: input('x'), context: input('context'), y: input('y') };
  const t = graph.input('t', io.get('timestep')!.shape, dtype);
  const text = { context: inputs.context, pooled: inputs.y };
  const out = velocity(scopeOf(graph), config, inputs.x, t, text);
  return { graph, inputs, out };
}

/** What such a graph is fed; the network's time is the timestep / 1000. */
export function feedsOf(io: ReadonlyMap<string, Tensor>): Map<string, Float64Array> {
  const names = ['x', 'context', 'y', 'cotangent'].filter((name) => io.has(name));
  return new Map([
    ...names.map((name) => [name, numbers(io.get(name)!)] as const),
    ['t', numbers(io.get('timestep')!).map((timestep) => timestep / 1000)],
  ]);
}
