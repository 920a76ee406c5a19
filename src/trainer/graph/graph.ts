/** @file A graph of operators with static shapes, built forwards: the order of `nodes` is a valid order of execution. */
import { bug, FlowstepError } from '../../errors.ts';
import type { DType, Shape, Tensor, TypedArrays } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { type AttributesOf, type OperatorName, operatorRow } from './operators.ts';
import { formatShape, type TensorType } from './shapes.ts';

/** A tensor that flows through the graph: output `index` of `node`. */
export interface Value extends TensorType {
  readonly graph: Graph;
  readonly id: number;
  readonly node: Node;
  readonly index: number;
}

export interface InputNode {
  readonly kind: 'input';
  readonly name: string;
  readonly inputs: readonly [];
  readonly outputs: Value[];
}

export interface ConstantNode {
  readonly kind: 'constant';
  readonly tensor: Tensor;
  readonly inputs: readonly [];
  readonly outputs: Value[];
}

export interface OperatorNode<K extends OperatorName = OperatorName> {
  readonly kind: 'operator';
  readonly operator: K;
  readonly attributes: AttributesOf<K>;
  readonly inputs: readonly Value[];
  readonly outputs: Value[];
}

export type Node = InputNode | ConstantNode | OperatorNode;

/** Nodes [start, end) of a graph that make one block of a network. */
export interface Block {
  readonly start: number;
  readonly end: number;
}

export class Graph {
  /** `kept`: nodes run in the order of `nodes`, and equal ones are not merged. */
  readonly order: 'free' | 'kept';
  readonly nodes: Node[] = [];
  /** The blocks of networks in the order of their nodes: what is between their borders can be computed again. */
  readonly blocks: Block[] = [];
  readonly inputs = new Map<string, Value>();
  readonly outputs = new Map<string, Value>();
  readonly #known = new Map<string, Node>();
  #nextId = 0;

  constructor(order: 'free' | 'kept' = 'free') {
    this.order = order;
  }

  /** A named tensor that is fed at run time; asking again for the same name gives the same value. */
  input(name: string, shape: Shape, dtype: DType = 'float32'): Value {
    const known = this.inputs.get(name);
    if (known) {
      if (known.dtype !== dtype || formatShape(known.shape) !== formatShape(shape)) {
        throw bug(`input ${name} is declared twice with different types`);
      }
      return known;
    }
    const node: InputNode = { kind: 'input', name, inputs: [], outputs: [] };
    const value = this.#place(node, [{ dtype, shape }])[0]!;
    this.inputs.set(name, value);
    return value;
  }

  constant(tensor: Tensor): Value {
    const node: ConstantNode = { kind: 'constant', tensor, inputs: [], outputs: [] };
    if (sizeOf(tensor.shape) > 64) return this.#place(node, [tensor])[0]!;
    const key = `${tensor.dtype}${formatShape(tensor.shape)}${tensor.data.join()}`;
    return this.#unique(key, node, () => [tensor])[0]!;
  }

  /** A scalar constant of the given type. */
  scalar(value: number, dtype: DType): Value {
    return this.constant({ dtype, shape: [], data: filled(dtype, 1, value) });
  }

  /** Applies an operator; the same operator on the same inputs gives the same values. */
  apply<K extends OperatorName>(
    operator: K,
    inputs: readonly Value[],
    attributes: AttributesOf<K>,
  ): readonly Value[] {
    const row = operatorRow(operator);
    const [fewest, most] = row.arity;
    if (inputs.length < fewest || inputs.length > most) {
      throw bug(`${operator} takes ${fewest} to ${most} inputs, not ${inputs.length}`);
    }
    if (inputs.some((v) => v.graph !== this)) throw bug(`${operator} joins values of two graphs`);
    const node: OperatorNode = {
      kind: 'operator',
      operator,
      attributes: attributes as OperatorNode['attributes'],
      inputs,
      outputs: [],
    };
    const key = `${operator}(${inputs.map((v) => v.id).join()})${JSON.stringify(attributes)}`;
    return this.#unique(key, node, () => row.infer(inputs, attributes));
  }

  /** Applies an operator though its result may be there: what is to be computed again must not be shared. */
  repeat(known: OperatorNode, inputs: readonly Value[]): readonly Value[] {
    return this.#place({ ...known, inputs, outputs: [] }, known.outputs);
  }

  /** Runs `build` and notes the nodes that it adds as a block. Blocks do not contain each other. */
  block<T>(build: () => T): T {
    const start = this.nodes.length;
    const result = build();
    if ((this.blocks.at(-1)?.end ?? 0) > start) throw bug('a block contains another');
    if (this.nodes.length > start) this.blocks.push({ start, end: this.nodes.length });
    return result;
  }

  /** Names a value as an output of the graph. */
  output(name: string, value: Value): void {
    if (this.outputs.has(name)) throw bug(`output ${name} is declared twice`);
    this.outputs.set(name, value);
  }

  #unique(key: string, node: Node, infer: () => readonly TensorType[]): readonly Value[] {
    const known = this.#known.get(key);
    if (known) return known.outputs;
    const outputs = this.#place(node, infer());
    this.#known.set(key, node);
    return outputs;
  }

  #place(node: Node, types: readonly TensorType[]): readonly Value[] {
    for (const [index, { dtype, shape }] of types.entries()) {
      node.outputs.push({ graph: this, id: this.#nextId++, node, index, dtype, shape: [...shape] });
    }
    this.nodes.push(node);
    return node.outputs;
  }
}

/** A typed array of `count` equal values. */
export function filled<D extends DType>(dtype: D, count: number, value: number): TypedArrays[D] {
  const make = (): TypedArrays[DType] => {
    switch (dtype) {
      case 'float64':
        return new Float64Array(count).fill(value);
      case 'float32':
        return new Float32Array(count).fill(value);
      case 'int64':
        return new BigInt64Array(count).fill(BigInt(value));
      case 'int32':
        return new Int32Array(count).fill(value);
      case 'uint8':
      case 'bool':
        return new Uint8Array(count).fill(value);
      default:
        throw new FlowstepError('OPERATOR_UNSUPPORTED', `no constants of type ${dtype}`);
    }
  };
  return make() as TypedArrays[D];
}
