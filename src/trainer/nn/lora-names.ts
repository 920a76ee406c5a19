/** @file The names under which LoRA files speak of a network's weights, as ComfyUI's loader accepts them. */
import { sizeOf } from '../tensor.ts';
import { MMDIT_HEAD_WIDTH, type MmditConfig, type NetworkConfig } from './config.ts';
import type { WeightPart } from './lora-merge.ts';
import type { ParameterList } from './parameters.ts';

/** A weight that an adapter can change, and the matrix that it is. */
export interface NamedPart extends WeightPart {
  readonly inputs: number;
}

const WEIGHT = '.weight';

/** kohya's name of a layer. */
export const kohyaStem = (layer: string): string => `lora_unet_${underscored(layer)}`;

const underscored = (name: string) => name.replaceAll('.', '_');

/** Every stem (a name without `.lora_up.weight` and the like) with the part of a weight that it means. */
export function loraStems(network: NetworkConfig, list: ParameterList): Map<string, NamedPart> {
  const stems = new Map<string, NamedPart>();
  const parts = new Map<string, NamedPart>();
  for (const { name, shape } of list.specs) {
    if (!name.endsWith(WEIGHT) || shape.length < 2) continue;
    const rows = shape[0]!;
    const layer = name.slice(0, -WEIGHT.length);
    const inputs = sizeOf(shape.slice(1));
    const part = { target: name, from: 0, to: rows, swapped: false, inputs };
    parts.set(layer, part);
    stems.set(`diffusion_model.${layer}`, part);
    stems.set(kohyaStem(layer), part);
  }
  if (network.kind !== 'mmdit') return stems;
  for (const [name, layer, change] of diffusersNames(network)) {
    const part = parts.get(layer);
    // The last block has no output of its text stream, other blocks have no second attention.
    if (!part) continue;
    const named = { ...part, ...change };
    stems.set(`transformer.${name}`, named);
    stems.set(`base_model.model.${name}`, named);
    stems.set(`lora_transformer_${underscored(name)}`, named);
    stems.set(`lycoris_${underscored(name)}`, named);
  }
  return stems;
}

/** Name in Diffusers' layout, our layer, and what part of it is meant if not the whole. */
type DiffusersName = readonly [string, string, Partial<WeightPart>?];

/** Diffusers gives scale before shift where the released weights have shift before scale. */
const SWAPPED: Partial<WeightPart> = { swapped: true };

const OUTSIDE_BLOCKS: readonly DiffusersName[] = [
  ['context_embedder', 'context_embedder'],
  ['time_text_embed.timestep_embedder.linear_1', 't_embedder.mlp.0'],
  ['time_text_embed.timestep_embedder.linear_2', 't_embedder.mlp.2'],
  ['time_text_embed.text_embedder.linear_1', 'y_embedder.mlp.0'],
  ['time_text_embed.text_embedder.linear_2', 'y_embedder.mlp.2'],
  ['pos_embed.proj', 'x_embedder.proj'],
  ['norm_out.linear', 'final_layer.adaLN_modulation.1', SWAPPED],
  ['proj_out', 'final_layer.linear'],
];

const IN_BLOCKS: readonly (readonly [string, string])[] = [
  ['norm1.linear', 'x_block.adaLN_modulation.1'],
  ['norm1_context.linear', 'context_block.adaLN_modulation.1'],
  ['attn.to_out.0', 'x_block.attn.proj'],
  ['attn.to_add_out', 'context_block.attn.proj'],
  ['attn2.to_out.0', 'x_block.attn2.proj'],
  ['ff.net.0.proj', 'x_block.mlp.fc1'],
  ['ff.net.2', 'x_block.mlp.fc2'],
  ['ff_context.net.0.proj', 'context_block.mlp.fc1'],
  ['ff_context.net.2', 'context_block.mlp.fc2'],
];

/** One weight of ours is three layers of Diffusers': queries, keys and values. */
const FUSED: readonly (readonly [readonly [string, string, string], string])[] = [
  [['attn.to_q', 'attn.to_k', 'attn.to_v'], 'x_block.attn.qkv'],
  [['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'], 'context_block.attn.qkv'],
  [['attn2.to_q', 'attn2.to_k', 'attn2.to_v'], 'x_block.attn2.qkv'],
];

function diffusersNames({ depth }: MmditConfig): DiffusersName[] {
  const width = MMDIT_HEAD_WIDTH * depth;
  const names = [...OUTSIDE_BLOCKS];
  for (let i = 0; i < depth; i++) {
    const [theirs, ours] = [`transformer_blocks.${i}.`, `joint_blocks.${i}.`];
    for (const [name, layer] of IN_BLOCKS) {
      const isSwapped = i === depth - 1 && name === 'norm1_context.linear';
      names.push([theirs + name, ours + layer, isSwapped ? SWAPPED : {}]);
    }
    for (const [thirds, layer] of FUSED) {
      for (const [k, name] of thirds.entries()) {
        names.push([theirs + name, ours + layer, { from: k * width, to: (k + 1) * width }]);
      }
    }
  }
  return names;
}
