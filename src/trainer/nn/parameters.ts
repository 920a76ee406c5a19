/** @file Named parameters of a network: a network asks a scope for them while it is built, so names and shapes are written once. */
import type { Graph, Value } from '../graph/graph.ts';
import { fillNormal, fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import type { Program } from '../runtime/program.ts';
import { type DType, type Shape, sizeOf, type Tensor } from '../tensor.ts';

/** How a parameter starts: uniform in [-bound, bound], normal, zero or one; `fixed` is a table that stays as it is. */
export type Init =
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'fixed'; readonly values: () => Float32Array };

export interface ParameterSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly init: Init;
  /** Position of its first element in the flat vector of all parameters. */
  readonly offset: number;
  readonly size: number;
}

/** The parameters of a network in the order of its flat vector. */
export interface ParameterList {
  readonly specs: readonly ParameterSpec[];
  /** Elements of the flat vector. */
  readonly size: number;
}

/** What a linear layer gains: scale (x down^T) up^T, with down [rank, in] and up [out, rank]. */
export interface Adapter {
  readonly down: Value;
  readonly up: Value;
  readonly scale: number;
}

/** Where a network gets its parameters from. */
export interface Scope {
  readonly graph: Graph;
  parameter(name: string, shape: Shape, init: Init): Value;
  /** The adapter of the linear layer `name`, where there is one. */
  adapter?(name: string, inputs: number, outputs: number): Adapter | undefined;
  /** Is told what the network has seen at its middle, [B, places, C]; built only where somebody listens. */
  features?(value: () => Value): void;
  /** Dropout of activations [B, C, ...]; absent = none, as at evaluation. */
  dropout?(x: Value): Value;
}

/** Declares parameters as inputs `prefix/name` of the graph and remembers what was asked for. */
export class ParameterScope implements Scope {
  readonly graph: Graph;
  readonly #prefix: string;
  readonly #dtype: DType;
  readonly #specs = new Map<string, ParameterSpec>();
  #size = 0;

  constructor(graph: Graph, prefix: string, dtype: DType = 'float32') {
    this.graph = graph;
    this.#prefix = prefix;
    this.#dtype = dtype;
  }

  parameter(name: string, shape: Shape, init: Init): Value {
    if (!this.#specs.has(name)) {
      const size = sizeOf(shape);
      this.#specs.set(name, { name, shape, init, offset: this.#size, size });
      this.#size += size;
    }
    return this.graph.input(`${this.#prefix}/${name}`, shape, this.#dtype);
  }

  list(): ParameterList {
    return { specs: [...this.#specs.values()], size: this.#size };
  }

  /** The declared inputs, in the order of the list. */
  values(): Value[] {
    return [...this.#specs.keys()].map((name) => this.graph.inputs.get(`${this.#prefix}/${name}`)!);
  }
}

/** A fresh flat vector of parameters: a function of the seed and the list. */
export function initialise(list: ParameterList, seed: number): Float32Array {
  const flat = new Float32Array(list.size);
  for (const [index, { init, offset, size }] of list.specs.entries()) {
    const part = flat.subarray(offset, offset + size);
    switch (init.kind) {
      case 'uniform':
        fillUniform(part, seed, STREAMS.init, index);
        for (let i = 0; i < size; i++) part[i] = (2 * part[i]! - 1) * init.bound;
        break;
      case 'normal':
        fillNormal(part, seed, STREAMS.init, index);
        for (let i = 0; i < size; i++) part[i]! *= init.std;
        break;
      case 'zeros':
        break;
      case 'ones':
        part.fill(1);
        break;
      case 'fixed':
        part.set(init.values());
        break;
    }
  }
  return flat;
}

/** The parameters of a flat vector as tensors over the same memory. */
export function views(list: ParameterList, flat: Float32Array): Map<string, Tensor<'float32'>> {
  return new Map(
    list.specs.map(({ name, shape, offset, size }) => [
      name,
      { dtype: 'float32', shape, data: flat.subarray(offset, offset + size) },
    ]),
  );
}

/** The parameters of a flat vector where the device computes, in the order of the list. */
export function parametersOnDevice(list: ParameterList, flat: Float32Array): DeviceTensors {
  return new DeviceTensors([...views(list, flat).values()]);
}

/** Binds a network's parameters to the inputs `prefix/...` of a program's graph; those of a flat vector are read from the host. */
export function bindParameters(
  program: Program,
  graph: Graph,
  prefix: string,
  list: ParameterList,
  parameters: DeviceTensors | Float32Array,
): void {
  const tensors =
    parameters instanceof DeviceTensors
      ? parameters.tensors
      : [...views(list, parameters).values()];
  for (const [i, { name }] of list.specs.entries()) {
    const input = `${prefix}/${name}`;
    if (graph.inputs.has(input)) program.bindInput(input, tensors[i]!);
  }
}
