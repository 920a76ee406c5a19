/** @file Models with a LoRA: a student that Flowstep has trained, or any LoRA merged into the weights. */
import { bug, FlowstepError } from '../../errors.ts';
import { readLora } from '../files/lora-file.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { DOWN, type LoraConfig, loraParameterList, UP } from '../nn/lora.ts';
import { type LowRankDelta, mergeLora } from '../nn/lora-merge.ts';
import { parameterList } from '../nn/network.ts';
import { type ParameterSpec, views } from '../nn/parameters.ts';
import { type FlowModel, weightsHash } from './model.ts';
import { INFO_KEY, parseModelInfo } from './model-metadata.ts';

/**
 * The model with a LoRA at a strength. Adapters of ours stay adapters, and the model becomes what they were trained to be;
 * others are merged into a copy of the weights. Throws MODEL_INVALID when the LoRA was made for another base.
 */
export async function withLora(
  base: FlowModel,
  path: string,
  strength: number,
): Promise<FlowModel> {
  const whole = await merged(base);
  const { deltas, metadata } = await readLora(path, whole.info.network);
  const info = INFO_KEY in metadata ? parseModelInfo(path, metadata) : undefined;
  if (!info?.lora) {
    const parameters = whole.parameters.slice();
    await mergeLora(parameterList(whole.info.network), parameters, deltas, strength);
    return { info: whole.info, parameters };
  }
  const hash = weightsHash(whole);
  if (info.lora.base !== hash) {
    throw new FlowstepError(
      'MODEL_INVALID',
      `${path} was trained on other weights: on those with sha256 ${info.lora.base}, not ${hash}`,
      { file: path, hint: 'Load the base model that its model card names.' },
    );
  }
  const { config } = info.lora;
  const adapters = { config, parameters: adapterVector(info.network, config, deltas, strength) };
  return { info, parameters: whole.parameters, adapters };
}

/** The model without adapters: theirs are added into a copy of the weights. */
export async function merged({ info, parameters, adapters }: FlowModel): Promise<FlowModel> {
  if (!adapters) return { info, parameters };
  const copy = parameters.slice();
  const deltas = adapterDeltas(info.network, adapters.config, adapters.parameters);
  await mergeLora(parameterList(info.network), copy, deltas, 1);
  const { lora: _adapted, ...whole } = info;
  return { info: whole, parameters: copy };
}

/** The flat vector of adapters whose deltas were read back; strength scales what they add. */
function adapterVector(
  network: NetworkConfig,
  config: LoraConfig,
  deltas: readonly LowRankDelta[],
  strength: number,
): Float32Array {
  const list = loraParameterList(network, config);
  const byWeight = new Map(deltas.map((delta) => [delta.target, delta]));
  const flat = new Float32Array(list.size);
  for (const spec of list.specs) {
    const { layer, isUp } = partOf(spec);
    const delta = byWeight.get(`${layer}.weight`);
    if (!delta) throw bug(`a LoRA of ours has no adapter for ${layer}`);
    const values = isUp ? delta.up.map((x) => strength * x) : delta.down;
    flat.set(values, spec.offset);
  }
  return flat;
}

function adapterDeltas(
  network: NetworkConfig,
  config: LoraConfig,
  flat: Float32Array,
): LowRankDelta[] {
  const list = loraParameterList(network, config);
  const tensors = views(list, flat);
  return list.specs.flatMap((spec) => {
    const { layer, isUp } = partOf(spec);
    if (!isUp) return [];
    const [rows, rank] = spec.shape as [number, number];
    const down = tensors.get(layer + DOWN)!;
    const part = { target: `${layer}.weight`, from: 0, to: rows, swapped: false };
    const factors = { up: tensors.get(layer + UP)!.data, down: down.data };
    return [{ ...part, ...factors, rank, inputs: down.shape[1]!, scale: config.alpha / rank }];
  });
}

function partOf({ name }: ParameterSpec): { layer: string; isUp: boolean } {
  const end = name.endsWith(UP) ? UP : DOWN;
  return { layer: name.slice(0, -end.length), isUp: end === UP };
}
