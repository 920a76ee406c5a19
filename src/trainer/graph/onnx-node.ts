/** @file One node of an ONNX file while it is decoded: its inputs and attributes, and errors that name it. */
import { FlowstepError } from '../../errors.ts';
import type { DType } from '../tensor.ts';
import type { ConstantFolder } from './constant-folding.ts';
import { convertedTo } from './convert-tensor.ts';
import type { Graph, Value } from './graph.ts';
import { ATTRIBUTE_TYPES } from './onnx-format.ts';
import { type AttributeMessage, decodeTensor, dtypeOf, type NodeMessage } from './onnx-tensors.ts';

/** Attributes that may be there with the one value that means what our operator does anyway. */
const HARMLESS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  LayerNormalization: { stash_type: 1 },
  Cast: { saturate: 1 },
  FusedMatMul: { transBatchA: 0, transBatchB: 0 },
};

/** What the nodes of one model have in common while it is decoded. */
export interface Decoding {
  readonly graph: Graph;
  readonly file: string;
  readonly values: ReadonlyMap<string, Value>;
  readonly folder: ConstantFolder;
  /** The type that numbers of a type of the file get here. */
  readonly typeOf: (dtype: DType) => DType;
}

/** A node by its name or number, with its operator. */
export function nodeLabel({ name, opType, domain }: NodeMessage, index: number): string {
  const operator = [plainDomain(domain), opType].filter(Boolean).join('.');
  return `node ${name ? `"${name}"` : `number ${index + 1}`} (${operator})`;
}

/** ONNX's own domain has two names. */
export const plainDomain = (domain: string): string => (domain === 'ai.onnx' ? '' : domain);

export class NodeReader {
  readonly graph: Graph;
  readonly operator: string;
  readonly domain: string;
  /** Number of inputs; those at the end that are left out are not counted. */
  readonly inputCount: number;
  readonly outputNames: readonly string[];
  readonly #label: string;
  readonly #decoding: Decoding;
  readonly #inputs: readonly (Value | undefined)[];
  readonly #attributes: Map<string, AttributeMessage>;
  readonly #read = new Set<string>();

  constructor(decoding: Decoding, message: NodeMessage, index: number) {
    const { graph, values } = decoding;
    this.graph = graph;
    this.operator = message.opType;
    this.domain = plainDomain(message.domain);
    this.outputNames = message.output;
    this.#decoding = decoding;
    this.#label = nodeLabel(message, index);
    this.#inputs = message.input.map((name) => {
      if (name === '') return undefined;
      const value = values.get(name);
      if (!value) throw this.malformed(`reads "${name}", which nothing before it makes`);
      return value;
    });
    this.inputCount = this.#inputs.findLastIndex((v) => v !== undefined) + 1;
    this.#attributes = new Map(message.attribute.map((a) => [a.name, a]));
  }

  /** The type that numbers of a type of the file get here. */
  typeOf(dtype: DType): DType {
    return this.#decoding.typeOf(dtype);
  }

  /** The file is damaged or was written wrongly at this node. */
  malformed(problem: string, cause?: unknown): FlowstepError {
    const { file } = this.#decoding;
    return new FlowstepError('FILE_FORMAT', `${file}: ${this.#label} ${problem}`, {
      file,
      hint: 'export the model again, or check it with onnx.checker',
      cause,
    });
  }

  /** We cannot do what this node asks for. */
  unsupported(problem: string, hint: string): FlowstepError {
    const { file } = this.#decoding;
    return new FlowstepError('OPERATOR_UNSUPPORTED', `${file}: ${this.#label} ${problem}`, {
      file,
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
    const numbers = this.#decoding.folder.numbers(value);
    if (numbers) return numbers;
    throw this.unsupported(
      `has an input ${index + 1} that is computed`,
      'export the model so that only shapes and constants decide it',
    );
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
    const { file, typeOf } = this.#decoding;
    return typeOf(dtypeOf(this.int(name), this.#label, file));
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, ATTRIBUTE_TYPES.ints)?.ints;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attribute(name, ATTRIBUTE_TYPES.floats)?.floats;
  }

  /** An attribute that is a tensor, as a constant. */
  constantTensor(name: string): Value | undefined {
    const message = this.#attribute(name, ATTRIBUTE_TYPES.tensor)?.t;
    if (!message) return undefined;
    const { file } = this.#decoding;
    const tensor = decodeTensor(message, `constant "${this.outputNames[0]}"`, file);
    return this.graph.constant(convertedTo(tensor, this.typeOf(tensor.dtype)));
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
