/** @file Reads an ONNX model as a graph, so that it can be differentiated. */
import { FlowstepError } from '../../errors.ts';
import type { DType, Shape, Tensor } from '../tensor.ts';
import { ConstantFolder } from './constant-folding.ts';
import { Graph, type Value } from './graph.ts';
import { formOf } from './onnx-forms.ts';
import { NodeReader, nodeLabel } from './onnx-node.ts';
import {
  decodeTensor,
  dtypeOf,
  type GraphMessage,
  type ModelMessage,
  parseModel,
  type TensorMessage,
  type ValueInfoMessage,
} from './onnx-tensors.ts';
import { formatShape } from './shapes.ts';

export interface DecodeOptions {
  /** Named in errors. */
  readonly file?: string;
  /** What weights become: constants, or inputs of the graph under their own names, so that they can be trained. */
  readonly weights?: 'constants' | 'inputs';
}

export interface DecodedModel {
  readonly graph: Graph;
  /** The weights (initializers of a float type), by name. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Operator sets in which the operators that we know mean the same. */
const OLDEST_OPSET = 13;
const NEWEST_OPSET = 24;

/** The graph of an `.onnx` file with fixed shapes. Throws FILE_FORMAT or OPERATOR_UNSUPPORTED. */
export function decodeOnnx(bytes: Uint8Array, options: DecodeOptions = {}): DecodedModel {
  const { file = 'the model', weights: weightsAre = 'constants' } = options;
  const model = parseModel(bytes, file);
  const message = checkModel(model, file);
  const graph = new Graph();
  const weights = new Map<string, Tensor>();
  const outputs = decodeGraph(graph, message, {
    file,
    input: ({ name, dtype, shape }) => {
      if (graph.inputs.has(name)) throw damaged(file, `"${name}" is defined twice`);
      return graph.input(name, fixedShape(name, shape, file), dtype);
    },
    initializer: (tensor) => {
      const decoded = decodeTensor(tensor, `tensor "${tensor.name}"`, file);
      if (!isFloat(decoded.dtype)) return graph.constant(decoded);
      weights.set(tensor.name, decoded);
      return weightsAre === 'inputs'
        ? graph.input(tensor.name, decoded.shape, decoded.dtype)
        : graph.constant(decoded);
    },
  });
  for (const [name, value] of outputs) graph.output(name, value);
  const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
  return { graph, weights, metadata };
}

/** Checks what can be told of a model without decoding its nodes; throws FILE_FORMAT or OPERATOR_UNSUPPORTED. */
export function checkModel(model: ModelMessage, file: string): GraphMessage {
  const { graph } = model;
  if (!graph || graph.output.length === 0) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not an ONNX model: it has no outputs`, {
      file,
      hint: 'give an .onnx file, as torch.onnx.export writes it',
    });
  }
  const opset = model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  const version = opset?.version ?? 1;
  if (version < OLDEST_OPSET || version > NEWEST_OPSET) {
    throw new FlowstepError('OPERATOR_UNSUPPORTED', `${file} uses operator set ${version}`, {
      file,
      hint: `export it with opset_version ${OLDEST_OPSET} to ${NEWEST_OPSET}`,
    });
  }
  if (graph.sparseInitializer.length > 0) {
    throw new FlowstepError('OPERATOR_UNSUPPORTED', `${file} holds sparse tensors`, {
      file,
      hint: 'make its weights dense before it is exported',
    });
  }
  return graph;
}

/** An input as a file declares it; `undefined` stands for an open size, no shape for any. */
export interface DeclaredInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | undefined)[] | undefined;
}

/** What the inputs and initializers of a model become in a graph. */
export interface Sources {
  /** Named in errors. */
  readonly file: string;
  /** All numbers with a fraction get this type; left out = as in the file. */
  readonly floats?: DType;
  input(input: DeclaredInput): Value;
  initializer(tensor: TensorMessage): Value;
  /** The numbers of a value of `initializer` that a shape turns out to need. */
  tensorOf?(name: string): Tensor | undefined;
}

/** Adds a model's nodes to a graph; gives its outputs by name. Throws FILE_FORMAT or OPERATOR_UNSUPPORTED. */
export function decodeGraph(
  graph: Graph,
  message: GraphMessage,
  sources: Sources,
): Map<string, Value> {
  requireKnownOperators(message, sources.file);
  return new Decoder(graph, sources).run(message);
}

const isFloat = (dtype: DType) => /float/.test(dtype);

/** Nodes named in a message before it says how many more there are. */
const LISTED = 8;

/** All operators that are not known, so that nobody has to mend a model one node at a time. */
function requireKnownOperators({ node }: GraphMessage, file: string): void {
  const unknown = node.flatMap((n, i) => (formOf(n) ? [] : [nodeLabel(n, i)]));
  if (unknown.length === 0) return;
  const more = unknown.length > LISTED ? ` and ${unknown.length - LISTED} more` : '';
  const what = unknown.length === 1 ? 'operator that is' : 'operators that are';
  throw new FlowstepError(
    'OPERATOR_UNSUPPORTED',
    `${file} has ${unknown.length} ${what} not supported: ${unknown.slice(0, LISTED).join(', ')}${more}`,
    {
      file,
      issues: unknown.map((label) => ({ message: `${label} is not supported` })),
      hint: 'Rewrite these parts of the model with other operators; control flow (If, Loop, Scan) is never supported.',
    },
  );
}

class Decoder {
  readonly #graph: Graph;
  readonly #sources: Sources;
  readonly #values = new Map<string, Value>();
  readonly #folder: ConstantFolder;

  constructor(graph: Graph, sources: Sources) {
    this.#graph = graph;
    this.#sources = sources;
    const names = new Map<number, string>();
    this.#folder = new ConstantFolder(({ outputs }) => {
      if (names.size === 0) for (const [name, { id }] of this.#values) names.set(id, name);
      const name = names.get(outputs[0]!.id);
      return name === undefined ? undefined : sources.tensorOf?.(name);
    });
  }

  run(message: GraphMessage): Map<string, Value> {
    for (const tensor of message.initializer) {
      this.#define(tensor.name, this.#sources.initializer(tensor));
    }
    const given = new Set(message.initializer.map(({ name }) => name));
    for (const input of message.input) {
      // Old files list initializers among the inputs.
      if (given.has(input.name)) continue;
      this.#define(input.name, this.#sources.input(this.#typeOf(input)));
    }
    const decoding = {
      graph: this.#graph,
      file: this.#sources.file,
      values: this.#values,
      folder: this.#folder,
      typeOf: (dtype: DType) => this.#floatsOf(dtype),
    };
    for (const [index, node] of message.node.entries()) {
      this.#node(new NodeReader(decoding, node, index), formOf(node)!);
    }
    const outputs = new Map<string, Value>();
    for (const { name } of message.output) {
      const value = this.#values.get(name);
      if (!value) throw this.#damaged(`nothing makes the output "${name}"`);
      if (outputs.has(name)) throw this.#twice(name);
      outputs.set(name, value);
    }
    return outputs;
  }

  #node(node: NodeReader, form: (node: NodeReader) => readonly Value[]): void {
    const outputs = this.#outputsOf(node, form);
    node.assertAllRead();
    for (const [i, name] of node.outputNames.entries()) {
      if (name === '') continue;
      const value = outputs[i];
      if (!value) {
        throw node.unsupported(`makes output ${i + 1}, "${name}"`, 'export the model without it');
      }
      this.#define(name, value);
    }
  }

  #outputsOf(node: NodeReader, form: (node: NodeReader) => readonly Value[]): readonly Value[] {
    try {
      const constant = node.operator === 'Constant' ? node.constantTensor('value') : undefined;
      return constant ? [constant] : form(node);
    } catch (error) {
      if (error instanceof FlowstepError && error.code === 'SHAPE_MISMATCH') {
        throw node.malformed(`does not fit its inputs: ${error.message}`, error);
      }
      throw error;
    }
  }

  #floatsOf(dtype: DType): DType {
    return isFloat(dtype) ? (this.#sources.floats ?? dtype) : dtype;
  }

  #define(name: string, value: Value): void {
    if (name === '') throw this.#damaged('a tensor has no name');
    if (this.#values.has(name)) throw this.#twice(name);
    this.#values.set(name, value);
  }

  #typeOf({ name, type }: ValueInfoMessage): DeclaredInput {
    const { file } = this.#sources;
    const tensor = type?.tensorType;
    if (!tensor) {
      throw new FlowstepError('OPERATOR_UNSUPPORTED', `${file}: input "${name}" is no tensor`, {
        file,
        hint: 'only tensors can be fed',
      });
    }
    const shape = tensor.shape?.dim.map(({ value, dimValue = 0 }) =>
      value === 'dimValue' && dimValue > 0 ? dimValue : undefined,
    );
    return { name, dtype: dtypeOf(tensor.elemType, `input "${name}"`, file), shape };
  }

  #twice(name: string): FlowstepError {
    return this.#damaged(`"${name}" is defined twice`);
  }

  #damaged(problem: string): FlowstepError {
    return damaged(this.#sources.file, problem);
  }
}

function damaged(file: string, problem: string): FlowstepError {
  return new FlowstepError('FILE_FORMAT', `${file}: ${problem}`, {
    file,
    hint: 'export the model again, or check it with onnx.checker',
  });
}

function fixedShape(name: string, shape: DeclaredInput['shape'], file: string): Shape {
  if (shape && !shape.includes(undefined)) return shape as Shape;
  throw new FlowstepError(
    'OPERATOR_UNSUPPORTED',
    `${file}: input "${name}" has no fixed shape: ${formatOpenShape(shape)}`,
    { file, hint: 'export the model without dynamic axes' },
  );
}

/** A shape with a question mark for every open size. */
export function formatOpenShape(shape: DeclaredInput['shape']): string {
  if (!shape) return '?';
  return formatShape(shape.map((d) => d ?? Number.NaN)).replaceAll('NaN', '?');
}
