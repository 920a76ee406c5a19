/** @file What an ONNX file holds, also of those that cannot be differentiated here. */
import { FlowstepError } from '../../errors.ts';
import { sizeOf } from '../tensor.ts';
import { decodeOnnx } from './onnx-decode.ts';
import { ELEMENT_TYPES } from './onnx-format.ts';
import { parseModel, type ValueInfoMessage } from './onnx-tensors.ts';

export interface OnnxValue {
  readonly name: string;
  /** Our name of the element type, or ONNX's number. */
  readonly dtype: string;
  /** Sizes; a name stands for one that is open. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxSummary {
  /** Version by domain. */
  readonly opset: Readonly<Record<string, number>>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** How often each operator is used, the most used first. */
  readonly operators: Readonly<Record<string, number>>;
  readonly weights: { readonly tensors: number; readonly elements: number };
  readonly metadata: Readonly<Record<string, string>>;
  /** Why the graph cannot be differentiated here; undefined when it can. */
  readonly notTrainable?: string;
}

/** Throws FILE_FORMAT when the bytes are no ONNX model. */
export function summariseOnnx(bytes: Uint8Array, file: string): OnnxSummary {
  const model = parseModel(bytes, file);
  const { graph } = model;
  if (!graph || graph.output.length === 0) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not an ONNX model: it has no outputs`, {
      file,
      hint: 'give an .onnx file, as torch.onnx.export writes it',
    });
  }
  const given = new Set(graph.initializer.map(({ name }) => name));
  const notTrainable = reasonNotToDecode(bytes, file);
  return {
    opset: Object.fromEntries(
      model.opsetImport.map(({ domain, version }) => [domain || 'ai.onnx', version]),
    ),
    inputs: graph.input.filter(({ name }) => !given.has(name)).map(describeValue),
    outputs: graph.output.map(describeValue),
    operators: counts(
      graph.node.map(({ domain, opType }) => (domain ? `${domain}.` : '') + opType),
    ),
    weights: {
      tensors: graph.initializer.length,
      elements: graph.initializer.reduce((sum, { dims }) => sum + sizeOf(dims), 0),
    },
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
    ...(notTrainable !== undefined && { notTrainable }),
  };
}

function reasonNotToDecode(bytes: Uint8Array, file: string): string | undefined {
  try {
    decodeOnnx(bytes, { file });
    return undefined;
  } catch (error) {
    if (error instanceof FlowstepError && error.code === 'OPERATOR_UNSUPPORTED') {
      return error.message;
    }
    throw error;
  }
}

const DTYPE_NAMES = new Map<number, string>(
  Object.entries(ELEMENT_TYPES).map(([name, number]) => [number, name]),
);

function describeValue({ name, type }: ValueInfoMessage): OnnxValue {
  const tensor = type?.tensorType;
  if (!tensor) return { name, dtype: 'no tensor', shape: [] };
  const shape = (tensor.shape?.dim ?? []).map(({ value, dimValue, dimParam }) =>
    value === 'dimValue' ? (dimValue ?? '?') : dimParam || '?',
  );
  return { name, dtype: DTYPE_NAMES.get(tensor.elemType) ?? `type ${tensor.elemType}`, shape };
}

function counts(names: readonly string[]): Record<string, number> {
  const found = new Map<string, number>();
  for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
  return Object.fromEntries([...found].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
}
