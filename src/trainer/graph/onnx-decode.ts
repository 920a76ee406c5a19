/** @file Reads an ONNX model as a graph, so that it can be differentiated. */
import { FlowstepError } from '../../errors.ts';
import type { DType, Shape, Tensor } from '../tensor.ts';
import { Graph, type Value } from './graph.ts';
import { formOf } from './onnx-forms.ts';
import { NodeReader } from './onnx-node.ts';
import {
  decodeTensor,
  dtypeOf,
  type GraphMessage,
  type ModelMessage,
  parseModel,
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
  const file = options.file ?? 'the model';
  const model = parseModel(bytes, file);
  const message = checkModel(model, file);
  const decoder = new Decoder(file, options.weights ?? 'constants');
  decoder.run(message);
  const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
  return { graph: decoder.graph, weights: decoder.weights, metadata };
}

function checkModel(model: ModelMessage, file: string): GraphMessage {
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

class Decoder {
  readonly graph = new Graph();
  readonly weights = new Map<string, Tensor>();
  readonly #file: string;
  readonly #weightsAre: 'constants' | 'inputs';
  readonly #values = new Map<string, Value>();

  constructor(file: string, weightsAre: 'constants' | 'inputs') {
    this.#file = file;
    this.#weightsAre = weightsAre;
  }

  run(message: GraphMessage): void {
    for (const tensor of message.initializer) {
      this.#define(
        tensor.name,
        this.#weight(tensor.name, decodeTensor(tensor, `tensor "${tensor.name}"`, this.#file)),
      );
    }
    const given = new Set(message.initializer.map(({ name }) => name));
    for (const input of message.input) {
      // Old files list initializers among the inputs.
      if (given.has(input.name)) continue;
      const { dtype, shape } = this.#typeOf(input);
      if (this.graph.inputs.has(input.name)) throw this.#twice(input.name);
      this.#define(input.name, this.graph.input(input.name, shape, dtype));
    }
    for (const [index, node] of message.node.entries()) {
      this.#node(new NodeReader(this.graph, this.#file, node, index, this.#values));
    }
    for (const { name } of message.output) {
      const value = this.#values.get(name);
      if (!value) throw this.#damaged(`nothing makes the output "${name}"`);
      if (this.graph.outputs.has(name)) throw this.#twice(name);
      this.graph.output(name, value);
    }
  }

  #node(node: NodeReader): void {
    const outputs = this.#outputsOf(node);
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

  #outputsOf(node: NodeReader): readonly Value[] {
    try {
      const tensor = node.operator === 'Constant' ? node.tensor('value') : undefined;
      if (tensor) {
        return [
          this.graph.constant(
            decodeTensor(tensor, `constant "${node.outputNames[0]}"`, this.#file),
          ),
        ];
      }
      return formOf(node)(node);
    } catch (error) {
      if (error instanceof FlowstepError && error.code === 'SHAPE_MISMATCH') {
        throw node.malformed(`does not fit its inputs: ${error.message}`, error);
      }
      throw error;
    }
  }

  #weight(name: string, tensor: Tensor): Value {
    if (!/float/.test(tensor.dtype)) return this.graph.constant(tensor);
    this.weights.set(name, tensor);
    return this.#weightsAre === 'inputs'
      ? this.graph.input(name, tensor.shape, tensor.dtype)
      : this.graph.constant(tensor);
  }

  #define(name: string, value: Value): void {
    if (name === '') throw this.#damaged('a tensor has no name');
    if (this.#values.has(name)) throw this.#twice(name);
    this.#values.set(name, value);
  }

  #typeOf({ name, type }: ValueInfoMessage): { dtype: DType; shape: Shape } {
    const tensor = type?.tensorType;
    if (!tensor) {
      throw new FlowstepError(
        'OPERATOR_UNSUPPORTED',
        `${this.#file}: input "${name}" is no tensor`,
        {
          file: this.#file,
          hint: 'only tensors can be fed',
        },
      );
    }
    const shape = tensor.shape?.dim.map(({ value, dimValue = 0 }) =>
      value === 'dimValue' && dimValue > 0 ? dimValue : undefined,
    );
    if (!shape || shape.includes(undefined)) {
      const found = shape
        ? formatShape(shape.map((d) => d ?? Number.NaN)).replaceAll('NaN', '?')
        : '?';
      throw new FlowstepError(
        'OPERATOR_UNSUPPORTED',
        `${this.#file}: input "${name}" has no fixed shape: ${found}`,
        { file: this.#file, hint: 'export the model without dynamic axes' },
      );
    }
    return {
      dtype: dtypeOf(tensor.elemType, `input "${name}"`, this.#file),
      shape: shape as Shape,
    };
  }

  #twice(name: string): FlowstepError {
    return this.#damaged(`"${name}" is defined twice`);
  }

  #damaged(problem: string): FlowstepError {
    return new FlowstepError('FILE_FORMAT', `${this.#file}: ${problem}`, {
      file: this.#file,
      hint: 'export the model again, or check it with onnx.checker',
    });
  }
}
