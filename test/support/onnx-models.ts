/** @file ONNX models written by hand, as other programs write them. */
import { ATTRIBUTE_TYPES, ELEMENT_TYPES, ModelProto } from '../../src/trainer/graph/onnx-format.ts';
import type { DType, Shape, Tensor } from '../../src/trainer/tensor.ts';
import { tensorOf } from './gradcheck.ts';

export type Attribute = number | string | readonly number[] | { readonly float: number } | Tensor;

export interface HandNode {
  readonly opType: string;
  readonly domain?: string;
  readonly name?: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface HandModel {
  readonly inputs?: Readonly<Record<string, Shape | object>>;
  readonly initializers?: Readonly<Record<string, Tensor | object>>;
  readonly nodes?: readonly HandNode[];
  readonly outputs?: readonly string[];
  readonly opset?: number;
  /** Fields of the graph message that replace those made of the above. */
  readonly graph?: object;
}

export const int64 = (values: readonly number[], shape: Shape = [values.length]): Tensor =>
  tensorOf('int64', shape, values);
export const float = (values: readonly number[], shape: Shape = [values.length]): Tensor =>
  tensorOf('float32', shape, values);

export function tensorMessage(name: string, { dtype, shape, data }: Tensor): object {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: shape, dataType: ELEMENT_TYPES[dtype], rawData };
}

function attributeMessage(name: string, value: Attribute): object {
  if (typeof value === 'number') return { name, type: ATTRIBUTE_TYPES.int, i: value };
  if (typeof value === 'string') {
    return { name, type: ATTRIBUTE_TYPES.string, s: new TextEncoder().encode(value) };
  }
  if ('float' in value) return { name, type: ATTRIBUTE_TYPES.float, f: value.float };
  if ('dtype' in value) return { name, type: ATTRIBUTE_TYPES.tensor, t: tensorMessage('', value) };
  return { name, type: ATTRIBUTE_TYPES.ints, ints: value };
}

export function inputMessage(name: string, shape: Shape, dtype: DType = 'float32'): object {
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[dtype], shape: { dim } } } };
}

export function handModel(model: HandModel): Uint8Array {
  const graph = {
    name: 'test',
    node: (model.nodes ?? []).map(({ attributes = {}, ...node }) => ({
      ...node,
      attribute: Object.entries(attributes).map(([name, value]) => attributeMessage(name, value)),
    })),
    initializer: Object.entries(model.initializers ?? {}).map(([name, tensor]) =>
      'dtype' in tensor ? tensorMessage(name, tensor) : { name, ...tensor },
    ),
    input: Object.entries(model.inputs ?? {}).map(([name, shape]) =>
      Array.isArray(shape) ? inputMessage(name, shape) : { name, ...shape },
    ),
    output: (model.outputs ?? ['y']).map((name) => inputMessage(name, [])),
    ...model.graph,
  };
  const message = {
    irVersion: 8,
    opsetImport: [{ domain: '', version: model.opset ?? 17 }],
    graph,
  };
  return ModelProto.encode(ModelProto.create(message)).finish();
}

/** A model of one node, named "here", with the input x and constants after it. */
export interface OneNode {
  readonly operator: string;
  readonly domain?: string;
  readonly x: Shape;
  /** Inputs; default: x, then the constants. */
  readonly input?: readonly string[];
  readonly constants?: Readonly<Record<string, Tensor>>;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly opset?: number;
  readonly outputs?: readonly string[];
}

export function oneNode({
  operator,
  domain,
  x,
  constants = {},
  opset,
  ...node
}: OneNode): Uint8Array {
  return handModel({
    inputs: { x },
    initializers: constants,
    nodes: [
      {
        opType: operator,
        ...(domain ? { domain } : {}),
        name: 'here',
        input: node.input ?? ['x', ...Object.keys(constants)],
        output: node.outputs ?? ['y'],
        attributes: node.attributes ?? {},
      },
    ],
    ...(opset ? { opset } : {}),
  });
}
