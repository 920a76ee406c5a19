/** @file Writes a graph as an ONNX model. */
import { bug } from '../../errors.ts';
import type { Tensor } from '../tensor.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import {
  ATTRIBUTE_TYPES,
  ELEMENT_TYPES,
  IR_VERSION,
  MICROSOFT_DOMAIN,
  ModelProto,
  OPSET,
} from './onnx-format.ts';
import { operatorRow } from './operators.ts';

/** The bytes of an `.onnx` file; nodes that no output needs are left out. */
export function encodeOnnx(
  graph: Graph,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const writer = new Writer(graph);
  const model = writer.model(metadata);
  return ModelProto.encode(ModelProto.create(model)).finish();
}

class Writer {
  readonly #graph: Graph;
  readonly #nodes: object[] = [];
  readonly #initializers: object[] = [];
  readonly #constants = new Map<string, string>();
  readonly #names = new Map<number, string>();

  constructor(graph: Graph) {
    this.#graph = graph;
    for (const [name, value] of graph.inputs) this.#names.set(value.id, name);
    for (const [name, value] of graph.outputs) {
      if (value.node.kind === 'operator' && !this.#names.has(value.id))
        this.#names.set(value.id, name);
    }
  }

  model(metadata: Readonly<Record<string, string>>): object {
    const needed = neededNodes(this.#graph);
    for (const node of this.#graph.nodes) {
      if (!needed.has(node)) continue;
      if (node.kind === 'constant') {
        const name = this.#name(node.outputs[0]!);
        this.#initializers.push(tensorProto(name, node.tensor));
      } else if (node.kind === 'operator') {
        this.#nodes.push(this.#node(node));
      }
    }
    const output = [...this.#graph.outputs].map(([name, value]) => {
      // Only an output that is an input, a constant or another output needs a copy.
      if (this.#name(value) !== name) {
        this.#nodes.push({ opType: 'Identity', input: [this.#name(value)], output: [name] });
      }
      return valueInfo(name, value);
    });
    return {
      irVersion: IR_VERSION,
      producerName: 'flowstep',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: MICROSOFT_DOMAIN, version: 1 },
      ],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name: 'flowstep',
        node: this.#nodes,
        initializer: this.#initializers,
        input: [...this.#graph.inputs].map(([name, value]) => valueInfo(name, value)),
        output,
      },
    };
  }

  #node(node: OperatorNode): object {
    const row = operatorRow(node.operator);
    const input = node.inputs.map((v) => this.#name(v));
    const attribute: object[] = [];
    for (const [name, spec] of Object.entries(row.attributes)) {
      const value = (node.attributes as Readonly<Record<string, unknown>>)[name];
      if (spec.input !== undefined) input[spec.input] = this.#integers(value as readonly number[]);
      else attribute.push(attributeProto(name, spec.kind, value));
    }
    return {
      opType: node.operator,
      domain: row.domain ?? '',
      name: `${node.operator}_${node.outputs[0]!.id}`,
      input,
      output: node.outputs.map((v) => this.#name(v)),
      attribute,
    };
  }

  #name(value: Value): string {
    const known = this.#names.get(value.id);
    if (known) return known;
    const name = `v${value.id}`;
    this.#names.set(value.id, name);
    return name;
  }

  /** The name of an int64 initializer with these values. */
  #integers(values: readonly number[]): string {
    const key = values.join();
    const known = this.#constants.get(key);
    if (known) return known;
    const name = `i${this.#constants.size}`;
    this.#constants.set(key, name);
    const data = BigInt64Array.from(values, BigInt);
    this.#initializers.push(tensorProto(name, { dtype: 'int64', shape: [values.length], data }));
    return name;
  }
}

/** The nodes that some output depends on. */
export function neededNodes(graph: Graph): Set<Graph['nodes'][number]> {
  const needed = new Set([...graph.outputs.values()].map((v) => v.node));
  for (const node of graph.nodes.toReversed()) {
    if (needed.has(node)) for (const v of node.inputs) needed.add(v.node);
  }
  return needed;
}

function attributeProto(name: string, kind: string, value: unknown): object {
  switch (kind) {
    case 'int':
      return { name, type: ATTRIBUTE_TYPES.int, i: value };
    case 'ints':
      return { name, type: ATTRIBUTE_TYPES.ints, ints: value };
    case 'float':
      return { name, type: ATTRIBUTE_TYPES.float, f: value };
    case 'string':
      return { name, type: ATTRIBUTE_TYPES.string, s: new TextEncoder().encode(String(value)) };
    case 'dtype':
      return { name, type: ATTRIBUTE_TYPES.int, i: ELEMENT_TYPES[value as Tensor['dtype']] };
    default:
      throw bug(`attribute kind ${kind}`);
  }
}

function tensorProto(name: string, { dtype, shape, data }: Tensor): object {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: shape, dataType: ELEMENT_TYPES[dtype], rawData };
}

function valueInfo(name: string, { dtype, shape }: Value): object {
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[dtype], shape: { dim } } } };
}
