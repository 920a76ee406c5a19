/** @file What other files of image models are, by tensors that only they have: for messages that say what was found. */
import type { SafetensorsHeader } from './safetensors-header.ts';

/** Pieces of names with what has them; the first that fits is meant. */
const SIGNS: readonly (readonly [string, string])[] = [
  ['.lora_down.weight', 'a LoRA'],
  ['.lora_up.weight', 'a LoRA'],
  ['.lora_A.weight', 'a LoRA'],
  ['.lora_A.default.weight', 'a LoRA'],
  ['.lora.down.weight', 'a LoRA'],
  ['double_blocks.0.img_attn.', 'FLUX or HunyuanVideo'],
  ['single_transformer_blocks.0.', "FLUX in Diffusers' layout"],
  ['transformer_blocks.0.attn.add_q_proj.', "Stable Diffusion 3 in Diffusers' layout"],
  ['transformer_blocks.0.attn.add_k_proj.', "an MM-DiT in Diffusers' layout"],
  ['double_layers.0.attn.w1q.', 'AuraFlow'],
  ['adaln_single.', 'PixArt'],
  ['cap_embedder.', 'Lumina'],
  ['label_emb.0.0.', 'Stable Diffusion XL'],
  ['input_blocks.0.0.', 'Stable Diffusion 1 or 2'],
  ['down_blocks.0.', "a U-Net in Diffusers' layout"],
  ['decoder.conv_in.', 'an autoencoder (VAE)'],
  ['text_model.encoder.', 'a text encoder'],
  ['encoder.block.0.layer.0.SelfAttention.', 'a text encoder'],
];

/** What a file is, in words; by one of its tensors when it is nothing known. */
export function architectureOf({ tensors }: SafetensorsHeader): string {
  const names = [...tensors.keys()];
  const sign = SIGNS.find(([piece]) => names.some((name) => name.includes(piece)));
  if (sign) return sign[1];
  const [first] = names;
  return first === undefined ? 'an empty file' : `an unknown network (with a tensor "${first}")`;
}
