/** @file One node of an ONNX file while it is decoded: its inputs and attributes, and errors that name it. */
import { FlowstepError } from '../../errors.ts';
import type { DType } from '../tensor.ts';
import type { Graph, Value } from './graph.ts';
import { ATTRIBUTE_TYPES } from './onnx-format.ts';
import { type AttributeMessage, dtypeOf, type NodeMessage } from './onnx-tensors.ts';

/** Attributes that may be there with the one value that means what our operator does anyway. */
const HARMLESS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  LayerNormalization: { stash_type: 1 },
  Cast: { saturate: 1 },
  FusedMatMul: { transBatchA: 0, transBatchB: 0 },
};

export class NodeReader {
  readonly graph: Graph;
  readonly operator: string;
  readonly domain: string;
  /** Number of inputs; those at the end that are left out are not counted. */
  readonly inputCount: number;
  readonly outputNames: readonly string[];
  readonly #label: string;
  readonly #file: string;
  readonly #inputs: readonly (Value | undefined)[];
  readonly #attributes: Map<string, AttributeMessage>;
  readonly #read = new Set<string>();

  constructor(
    graph: Graph,
    file: string,
    message: NodeMessage,
    index: number,
    values: ReadonlyMap<string, Value>,
  ) {
    this.graph = graph;
    this.operator = message.opType;
    this.domain = message.domain === 'ai.onnx' ? '' : message.domain;
    this.outputNames = message.output;
    this.#file = file;
    this.#label = `node ${message.name ? `"${message.name}"` : `number ${index + 1}`} (${[this.domain, message.opType].filter(Boolean).join('.')})`;
    this.#inputs = message.input.map((name) => {
      if (name === '') return undefined;
      const value = values.get(name);
      if (!value) throw this.malformed(`reads "${name}", which nothing before it makes`);
      return value;
    });
    this.inputCount = this.#inputs.findLastIndex((v) => v !== undefined) + 1;
    this.#attributes = new Map(message.attribute.map((a) => [a.name, a]));
  }

  /** The file is damaged or was written wrongly at this node. */
  malformed(problem: string, cause?: unknown): FlowstepError {
    return new FlowstepError('FILE_FORMAT', `${this.#file}: ${this.#label} ${problem}`, {
      file: this.#file,
      hint: 'export the model again, or check it with onnx.checker',
      cause,
    });
  }

  /** We cannot do what this node asks for. */
  unsupported(problem: string, hint: string): FlowstepError {
    return new FlowstepError('OPERATOR_UNSUPPORTED', `${this.#file}: ${this.#label} ${problem}`, {
      file: this.#file,
      hint,
    });
  }

  optional(index: number): Value | undefined {
    return this.#inputs[index];
  }

  value(index: number): Value {
    const value = this.#inputs[index];
    if (!value) throw this.malformed(`lacks input ${index + 1}`);
    return value;
  }

  /** All inputs, none of which may be left out. */
  values(): Value[] {
    return Array.from({ length: this.inputCount }, (_, i) => this.value(i));
  }

  /** The numbers of an input that must be a constant. */
  constants(index: number): readonly number[] | undefined {
    const value = this.#inputs[index];
    if (!value) return undefined;
    if (value.node.kind !== 'constant') {
      throw this.unsupported(
        `has an input ${index + 1} that is computed`,
        'export the model with fixed shapes and constant folding, so that it is a constant',
      );
    }
    return Array.from<number | bigint, number>(value.node.tensor.data, Number);
  }

  int(name: string, otherwise?: number): number {
    return this.#attribute(name, ATTRIBUTE_TYPES.int)?.i ?? this.#missing(name, otherwise);
  }

  float(name: string, otherwise?: number): number {
    return this.#attribute(name, ATTRIBUTE_TYPES.float)?.f ?? this.#missing(name, otherwise);
  }

  string(name: string, otherwise?: string): string {
    const found = this.#attribute(name, ATTRIBUTE_TYPES.string);
    return found ? new TextDecoder().decode(found.s) : this.#missing(name, otherwise);
  }

  dtype(name: string): DType {
    return dtypeOf(this.int(name), this.#label, this.#file);
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, ATTRIBUTE_TYPES.ints)?.ints;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attribute(name, ATTRIBUTE_TYPES.floats)?.floats;
  }

  tensor(name: string): AttributeMessage['t'] | undefined {
    return this.#attribute(name, ATTRIBUTE_TYPES.tensor)?.t;
  }

  has(name: string): boolean {
    return this.#attributes.has(name);
  }

  /** Throws OPERATOR_UNSUPPORTED for an attribute that nothing has read. */
  assertAllRead(): void {
    for (const [name, { type, i }] of this.#attributes) {
      if (this.#read.has(name)) continue;
      if (type === ATTRIBUTE_TYPES.int && HARMLESS[this.operator]?.[name] === i) continue;
      throw this.unsupported(
        `has the attribute ${name}, which is not supported here`,
        'export the model with an operator set between 13 and 24, or without this option',
      );
    }
  }

  #attribute(name: string, type: number): AttributeMessage | undefined {
    const found = this.#attributes.get(name);
    if (found && found.type !== type) throw this.malformed(`has ${name} of another type`);
    this.#read.add(name);
    return found;
  }

  #missing<T>(name: string, otherwise: T | undefined): T {
    if (otherwise === undefined) throw this.malformed(`lacks the attribute ${name}`);
    return otherwise;
  }
}
