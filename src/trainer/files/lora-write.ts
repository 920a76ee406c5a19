/** @file Writing adapters as a LoRA file that ComfyUI and the tools around it take: kohya's names and metadata. */
import type { NetworkConfig } from '../nn/config.ts';
import { DOWN, type LoraConfig, loraParameterList, UP } from '../nn/lora.ts';
import { kohyaStem } from '../nn/lora-names.ts';
import { views } from '../nn/parameters.ts';
import type { Tensor } from '../tensor.ts';
import type { WriteOptions } from './atomic-write.ts';
import { float32ToBfloat16, float32ToFloat16 } from './float16.ts';
import { sha256 } from './hash.ts';
import { encodeSafetensors, writeSafetensors } from './safetensors.ts';
import { formOf, type Sd3Form } from './sd3-checkpoint.ts';

/** The base model as kohya's trainers name it, in `ss_base_model_version` and in `modelspec.architecture`. */
const BASES: Readonly<Record<Sd3Form, readonly [string, string]>> = {
  'SD3-medium': ['sd3_m', 'stable-diffusion-3-medium'],
  'SD3.5-medium': ['sd3_5_m', 'stable-diffusion-3-5-medium'],
  'SD3.5-large': ['sd3_5_l', 'stable-diffusion-3-5-large'],
};

export interface LoraFileOptions extends WriteOptions {
  readonly title: string;
  /** Left out, the same adapters give the same bytes. */
  readonly date?: Date;
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  /** More entries of the file's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes the adapters in `flat`, the vector of `loraParameterList(network, lora)`, atomically. ComfyUI knows no network of
 * ours but Stable Diffusion 3's; the others' files have the same form. Throws FILE_UNWRITABLE.
 */
export async function writeLora(
  path: string,
  network: NetworkConfig,
  lora: LoraConfig,
  flat: Float32Array,
  options: LoraFileOptions,
): Promise<void> {
  const { dtype = 'float32', title, date, metadata = {}, replace } = options;
  const tensors = new Map<string, Tensor>();
  for (const [name, tensor] of views(loraParameterList(network, lora), flat)) {
    const end = name.endsWith(UP) ? UP : DOWN;
    const stem = kohyaStem(name.slice(0, -end.length));
    tensors.set(stem + end, stored(tensor, dtype));
    tensors.set(`${stem}.alpha`, scalar(lora.alpha));
  }
  const all = {
    'modelspec.sai_model_spec': '1.0.0',
    'modelspec.title': title,
    ...(date && { 'modelspec.date': date.toISOString() }),
    ...baseMetadata(network),
    ss_network_dim: String(lora.rank),
    ss_network_alpha: String(lora.alpha),
    sshs_model_hash: dataHash(tensors),
    ...metadata,
  };
  await writeSafetensors(path, tensors, all, { replace });
}

/** What kohya's trainers say about the base, for those that they know. */
function baseMetadata(network: NetworkConfig): Record<string, string> {
  if (network.kind !== 'mmdit') {
    return { 'modelspec.architecture': `flowstep-${network.kind}-v1/lora` };
  }
  const [version, architecture] = BASES[formOf(network)];
  return {
    'modelspec.architecture': `${architecture}/lora`,
    'modelspec.implementation': 'https://github.com/Stability-AI/generative-models',
    'modelspec.resolution': `${8 * network.width}x${8 * network.height}`,
    ss_network_module: 'networks.lora_sd3',
    ss_base_model_version: version,
  };
}

function stored(tensor: Tensor<'float32'>, dtype: 'float32' | 'float16' | 'bfloat16'): Tensor {
  const { shape, data } = tensor;
  switch (dtype) {
    case 'float32':
      return tensor;
    case 'float16':
      return { dtype, shape, data: float32ToFloat16(data) };
    case 'bfloat16':
      return { dtype, shape, data: float32ToBfloat16(data) };
  }
}

const scalar = (value: number): Tensor<'float32'> => ({
  dtype: 'float32',
  shape: [],
  data: Float32Array.of(value),
});

/** sha256 of what follows a file's header: what web interfaces know a LoRA by, as metadata may change. */
function dataHash(tensors: ReadonlyMap<string, Tensor>): string {
  const file = Buffer.from(encodeSafetensors(tensors));
  return sha256(file.subarray(8 + Number(file.readBigUInt64LE(0))));
}
