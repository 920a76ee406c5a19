/**
 * @file Low-rank adapters (Hu et al. 2022, "LoRA"): a layer's x W^T + b gains alpha/rank (x A^T) B^T with small A and B that
 * train while W is frozen. Several networks of one graph may adapt the same frozen base, which is there once.
 */
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import type { Shape } from '../tensor.ts';
import type { NetworkConfig } from './config.ts';
import { fanIn, ZEROS } from './layers.ts';
import { declareParameters } from './network.ts';
import {
  type Adapter,
  type Init,
  type ParameterList,
  ParameterScope,
  type Scope,
} from './parameters.ts';

/** Layers that are adapted unless told otherwise: attention and the feed-forward parts of transformers. */
const TRANSFORMER_LAYERS = ['qkv', 'proj', 'fc1', 'fc2'];

/** `targets` are ends of layers' names at a dot, as in PEFT: `attn.qkv` is that layer in every block. */
export const LoraConfigSchema = z.strictObject({
  rank: z.int().min(1).max(1024),
  alpha: z.number().gt(0),
  targets: z.array(z.string().min(1)).min(1).default(TRANSFORMER_LAYERS),
});

export type LoraConfig = z.infer<typeof LoraConfigSchema>;

/** Ends of the names of an adapter's two parameters, as kohya's trainers write them. */
export const DOWN = '.lora_down.weight';
export const UP = '.lora_up.weight';

/** A network with adapters: its weights come from `base`, the adapters' from `adapters`, where they start without effect. */
export class LoraScope implements Scope {
  readonly graph: Graph;
  readonly #base: Scope;
  readonly #adapters: Scope;
  readonly #config: LoraConfig;

  constructor(base: Scope, adapters: Scope, config: LoraConfig) {
    this.graph = base.graph;
    this.#base = base;
    this.#adapters = adapters;
    this.#config = config;
  }

  parameter(name: string, shape: Shape, init: Init): Value {
    return this.#base.parameter(name, shape, init);
  }

  adapter(name: string, inputs: number, outputs: number): Adapter | undefined {
    const { rank, alpha, targets } = this.#config;
    if (!targets.some((target) => name === target || name.endsWith(`.${target}`))) return undefined;
    return {
      down: this.#adapters.parameter(`${name}${DOWN}`, [rank, inputs], fanIn(inputs)),
      up: this.#adapters.parameter(`${name}${UP}`, [outputs, rank], ZEROS),
      scale: alpha / rank,
    };
  }
}

/** The adapters' parameters in the order of their flat vector; throws VALUE_OUT_OF_RANGE when no layer is targeted. */
export function loraParameterList(network: NetworkConfig, lora: LoraConfig): ParameterList {
  const graph = new Graph();
  const adapters = new ParameterScope(graph, 'lora');
  declareParameters(new LoraScope(new ParameterScope(graph, 'base'), adapters, lora), network);
  const list = adapters.list();
  if (list.size > 0) return list;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `no linear layer of the ${network.kind} is named ${lora.targets.join(', ')}`,
    { field: 'targets', hint: `Layers' names end in ${linearLayerEnds(network).join(', ')}.` },
  );
}

/** The last parts of the names of a network's linear layers. */
function linearLayerEnds(network: NetworkConfig): string[] {
  const scope = new ParameterScope(new Graph(), 'network');
  const ends = new Set<string>();
  declareParameters(
    {
      graph: scope.graph,
      parameter: (name, shape, init) => scope.parameter(name, shape, init),
      adapter: (name) => {
        ends.add(name.split('.').at(-1)!);
        return undefined;
      },
    },
    network,
  );
  return [...ends];
}
