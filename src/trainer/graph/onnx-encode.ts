/** @file Writes a graph as an ONNX model. */
import { bug } from '../../errors.ts';
import { float32ToFloat16 } from '../files/float16.ts';
import type { Tensor } from '../tensor.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import {
  ATTRIBUTE_TYPES,
  BFLOAT16_OPSET,
  ELEMENT_TYPES,
  IR_VERSION,
  MICROSOFT_DOMAIN,
  ModelProto,
  OPSET,
} from './onnx-format.ts';
import { attributeProto, bytesOf, tensorProto } from './onnx-messages.ts';
import { EXTERNAL } from './onnx-tensors.ts';
import { operatorRow } from './operators.ts';
import {
  BATCH_NAME,
  batchlessShape,
  dependsOnBatch,
  timesBatch,
  WHOLE_AXIS,
} from './symbolic-batch.ts';

/** The bytes of an `.onnx` file; nodes that no output needs are left out. */
export function encodeOnnx(
  graph: Graph,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return new Writer(graph).encode(metadata);
}

/** How a graph becomes a model for others: for any batch, with weights. */
export interface ExportForm {
  readonly metadata: Readonly<Record<string, string>>;
  /** Inputs of the graph that are weights: their names and values in the file. */
  readonly weights: ReadonlyMap<
    string,
    { readonly name: string; readonly tensor: Tensor<'float32'> }
  >;
  readonly dtype: 'float32' | 'float16';
  /** Name of the file beside the model that holds the weights; left out = the model holds them. */
  readonly external?: string;
}

export interface ExportedModel {
  readonly model: Uint8Array;
  /** The bytes of the file beside the model. */
  readonly external: readonly Uint8Array[];
}

/**
 * A model of a graph that was built for SYMBOLIC_BATCH. Weights are initializers, all other constants are nodes, so that a
 * reader can tell them apart.
 */
export function exportOnnx(graph: Graph, form: ExportForm): ExportedModel {
  const writer = new Writer(graph, form);
  const model = writer.encode(form.metadata);
  return { model, external: writer.external };
}

/** Smaller tensors are not worth a place in another file. */
const LEAST_EXTERNAL_BYTES = 1024;
/** Where tensors begin in that file: at pages, so that they can be mapped. */
const EXTERNAL_ALIGNMENT = 4096;

class Writer {
  readonly external: Uint8Array[] = [];
  readonly #graph: Graph;
  readonly #form: ExportForm | undefined;
  readonly #nodes: object[] = [];
  readonly #initializers: object[] = [];
  readonly #constants = new Map<string, string>();
  readonly #names = new Map<number, string>();
  readonly #taken = new Set<string>();
  #externalBytes = 0;
  #usesMicrosoft = false;

  constructor(graph: Graph, form?: ExportForm) {
    this.#graph = graph;
    this.#form = form;
    for (const name of graph.outputs.keys()) this.#taken.add(name);
    for (const [name, value] of graph.inputs) {
      if (!form?.weights.has(name)) this.#give(value, name);
    }
    for (const { name } of form?.weights.values() ?? []) this.#taken.add(name);
    for (const [name, value] of graph.outputs) {
      if (value.node.kind === 'operator' && !this.#names.has(value.id)) this.#give(value, name);
    }
  }

  encode(metadata: Readonly<Record<string, string>>): Uint8Array {
    return ModelProto.encode(ModelProto.create(this.#model(metadata))).finish();
  }

  #model(metadata: Readonly<Record<string, string>>): object {
    const needed = neededNodes(this.#graph);
    for (const node of this.#graph.nodes) {
      if (!needed.has(node)) continue;
      if (node.kind === 'constant') this.#constant(node.outputs[0]!, node.tensor);
      else if (node.kind === 'operator') this.#nodes.push(this.#node(node));
      else this.#weight(node.name, node.outputs[0]!);
    }
    const output = [...this.#graph.outputs].map(([name, value]) => {
      // Only an output that is an input, a constant or another output needs a copy.
      if (this.#name(value) !== name) {
        this.#nodes.push({ opType: 'Identity', input: [this.#name(value)], output: [name] });
      }
      return this.#valueInfo(name, value);
    });
    const input = [...this.#graph.inputs]
      .filter(([name]) => !this.#form?.weights.has(name))
      .map(([name, value]) => this.#valueInfo(name, value));
    return {
      irVersion: IR_VERSION,
      producerName: 'flowstep',
      opsetImport: [
        { domain: '', version: opsetOf(this.#graph) },
        ...(this.#usesMicrosoft ? [{ domain: MICROSOFT_DOMAIN, version: 1 }] : []),
      ],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name: 'flowstep',
        // ONNX Runtime walks from the results back and takes the inputs with the highest numbers first.
        node: this.#graph.order === 'kept' ? this.#nodes.toReversed() : this.#nodes,
        initializer: this.#initializers,
        input,
        output,
      },
    };
  }

  #constant(value: Value, tensor: Tensor): void {
    const name = this.#name(value);
    if (!this.#form) {
      this.#initializers.push(tensorProto(name, tensor));
      return;
    }
    if (dependsOnBatch(tensor.shape)) throw bug('a constant holds the batch');
    const t = tensorProto('', tensor);
    const attribute = [{ name: 'value', type: ATTRIBUTE_TYPES.tensor, t }];
    this.#nodes.push({ opType: 'Constant', input: [], output: [name], attribute });
  }

  #weight(input: string, value: Value): void {
    const weight = this.#form?.weights.get(input);
    if (!weight) return;
    const { name, tensor } = weight;
    if (this.#form?.dtype === 'float16') {
      const data = float32ToFloat16(tensor.data);
      this.#initializers.push(this.#stored(name, { ...tensor, dtype: 'float16', data }));
      this.#nodes.push({
        opType: 'Cast',
        input: [name],
        output: [this.#name(value)],
        attribute: [attributeProto('to', 'dtype', 'float32')],
      });
    } else {
      this.#initializers.push(this.#stored(name, tensor));
      this.#names.set(value.id, name);
    }
  }

  /** A tensor in the model, or in the file beside it. */
  #stored(name: string, tensor: Tensor): object {
    const location = this.#form?.external;
    const bytes = bytesOf(tensor);
    if (location === undefined || bytes.length < LEAST_EXTERNAL_BYTES) {
      return tensorProto(name, tensor);
    }
    const gap =
      (EXTERNAL_ALIGNMENT - (this.#externalBytes % EXTERNAL_ALIGNMENT)) % EXTERNAL_ALIGNMENT;
    const offset = this.#externalBytes + gap;
    if (gap > 0) this.external.push(new Uint8Array(gap));
    this.external.push(bytes);
    this.#externalBytes = offset + bytes.length;
    const place = { location, offset: String(offset), length: String(bytes.length) };
    return {
      name,
      dims: tensor.shape,
      dataType: ELEMENT_TYPES[tensor.dtype],
      externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
      dataLocation: EXTERNAL,
    };
  }

  #node(node: OperatorNode): object {
    const row = operatorRow(node.operator);
    const input = node.inputs.map((v) => this.#name(v));
    const attribute: object[] = [];
    for (const [name, spec] of Object.entries(row.attributes)) {
      const value = (node.attributes as Readonly<Record<string, unknown>>)[name];
      if (spec.input !== undefined) {
        input[spec.input] = this.#numbers(node, name, value as readonly number[]);
      } else attribute.push(attributeProto(name, spec.kind, value));
    }
    this.#usesMicrosoft ||= row.domain === MICROSOFT_DOMAIN;
    return {
      opType: node.operator,
      domain: row.domain ?? '',
      name: `${node.operator}_${node.outputs[0]!.id}`,
      input,
      output: node.outputs.map((v) => this.#name(v)),
      attribute,
    };
  }

  /** The name of a tensor with the numbers of an attribute, the batch where they come from it. */
  #numbers(node: OperatorNode, attribute: string, values: readonly number[]): string {
    if (!this.#form) return this.#integers(values);
    if (node.operator === 'Reshape') return this.#integers(batchlessShape(node));
    if (values.every((v) => timesBatch(v) === undefined)) return this.#integers(values);
    if (node.operator === 'Expand') return this.#computedShape(values);
    if (node.operator === 'Slice' && attribute === 'ends') {
      return this.#integers(values.map((v) => (timesBatch(v) === undefined ? v : WHOLE_AXIS)));
    }
    throw bug(`${node.operator} takes the batch apart`);
  }

  /** A shape whose multiples of the batch are computed when the model runs. */
  #computedShape(shape: readonly number[]): string {
    const parts = shape.map((size) => {
      const times = timesBatch(size);
      if (times === undefined) return this.#integers([size]);
      return times === 1
        ? this.#batch()
        : this.#made('Mul', [this.#batch(), this.#integers([times])]);
    });
    if (parts.length === 1) return parts[0]!;
    return this.#made('Concat', parts, [attributeProto('axis', 'int', 0)]);
  }

  /** The name of the size of the batch, [1]. */
  #batch(): string {
    const known = this.#constants.get(BATCH_NAME);
    if (known) return known;
    const [source] = [...this.#graph.inputs].filter(
      ([name, { shape }]) => !this.#form?.weights.has(name) && timesBatch(shape[0] ?? 0) === 1,
    );
    if (!source) throw bug('no input has a batch');
    const range = [attributeProto('start', 'int', 0), attributeProto('end', 'int', 1)];
    const name = this.#made('Shape', [this.#name(source[1])], range);
    this.#constants.set(BATCH_NAME, name);
    return name;
  }

  #made(opType: string, input: readonly string[], attribute: readonly object[] = []): string {
    const name = this.#fresh(`s${this.#nodes.length}`);
    this.#nodes.push({ opType, input, output: [name], attribute });
    return name;
  }

  #valueInfo(name: string, { dtype, shape }: Value): object {
    const dim = shape.map((size) =>
      this.#form && timesBatch(size) === 1 ? { dimParam: BATCH_NAME } : { dimValue: size },
    );
    return { name, type: { tensorType: { elemType: ELEMENT_TYPES[dtype], shape: { dim } } } };
  }

  #give(value: Value, name: string): void {
    this.#names.set(value.id, name);
    this.#taken.add(name);
  }

  #fresh(name: string): string {
    const free = this.#taken.has(name) ? this.#fresh(`${name}_`) : name;
    this.#taken.add(free);
    return free;
  }

  #name(value: Value): string {
    const known = this.#names.get(value.id);
    if (known) return known;
    const name = this.#fresh(`v${value.id}`);
    this.#names.set(value.id, name);
    return name;
  }

  /** The name of an int64 initializer with these values. */
  #integers(values: readonly number[]): string {
    const key = values.join();
    const known = this.#constants.get(key);
    if (known) return known;
    const name = this.#fresh(`i${this.#constants.size}`);
    this.#constants.set(key, name);
    const data = BigInt64Array.from(values, BigInt);
    this.#initializers.push(tensorProto(name, { dtype: 'int64', shape: [values.length], data }));
    return name;
  }
}

/** Convolutions take bfloat16 only in a later set, and some operators are only there. */
function opsetOf(graph: Graph): number {
  return graph.nodes.reduce((newest, node) => {
    const since = (node.kind === 'operator' && operatorRow(node.operator).since) || OPSET;
    const isBfloat16 = node.outputs[0]?.dtype === 'bfloat16';
    return Math.max(newest, since, isBfloat16 ? BFLOAT16_OPSET : OPSET);
  }, OPSET);
}

/** The nodes that some output depends on. */
export function neededNodes(graph: Graph): Set<Graph['nodes'][number]> {
  const needed = new Set([...graph.outputs.values()].map((v) => v.node));
  for (const node of graph.nodes.toReversed()) {
    if (needed.has(node)) for (const v of node.inputs) needed.add(v.node);
  }
  return needed;
}
