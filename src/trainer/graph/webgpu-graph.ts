/** @file A graph with operators and types that ONNX Runtime has kernels for on WebGPU. */
import { type DType, type Shape, sizeOf, type Tensor } from '../tensor.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import { cast, max, mul, reshape } from './ops.ts';
import { isKind, rewritten } from './rewrite.ts';
import { standardForm } from './standard-operators.ts';

/** No float32 is less: the larger of the two is the other. */
const LEAST_FLOAT32 = -3.4028234663852886e38;

/**
 * The same inputs and outputs, int64 as int32: WebGPU has no kernels for the former but for casts and gathers. Nothing is
 * copied by a command other than a kernel, as only kernels are recorded when a program is captured.
 */
export function webGpuGraph(graph: Graph): Graph {
  return rewritten(graph, { replace, outputs, type: webGpuType, convert: webGpuTensor });
}

/** The type that stands for another on WebGPU. What we number - classes, places - is far below 2^31. */
export function webGpuType(dtype: DType): DType {
  return dtype === 'int64' ? 'int32' : dtype;
}

/** A tensor as WebGPU takes it: itself, or a copy. */
export function webGpuTensor(tensor: Tensor): Tensor {
  if (tensor.dtype !== 'int64') return tensor;
  const data = Int32Array.from(tensor.data as BigInt64Array, Number);
  return { dtype: 'int32', shape: tensor.shape, data };
}

function replace(node: OperatorNode, inputs: readonly Value[]): readonly Value[] | undefined {
  const { graph } = inputs[0]!;
  if (isKind(node, 'Attention')) return standardForm(node, inputs);
  if (isKind(node, 'FusedMatMul')) {
    // There is no fused product but of two matrices.
    const [a, b] = inputs as [Value, Value];
    const isPlain = a.shape.length === 2 && b.shape.length === 2;
    if (!isPlain || a.dtype !== 'float32') return standardForm(node, inputs);
    return graph.apply('Gemm', inputs, { ...node.attributes, beta: 1 });
  }
  if (isKind(node, 'Transpose') && keepsOrder(inputs[0]!.shape, node.attributes.perm)) {
    return [reshape(inputs[0]!, node.outputs[0]!.shape)];
  }
  if (REDUCTIONS.has(node.operator)) return unreduced(node, inputs[0]!);
  if (inputs.some(({ dtype }) => dtype === 'bool') && !TAKES_BOOL.has(node.operator)) {
    const numbers = inputs.map((v) => (v.dtype === 'bool' ? cast(v, 'float32') : v));
    const results = graph.apply(node.operator, numbers, node.attributes);
    return results.map((v, i) => cast(v, webGpuType(node.outputs[i]!.dtype)));
  }
  if (isKind(node, 'Cast')) {
    const to = webGpuType(node.attributes.to);
    return inputs[0]!.dtype === to ? inputs : graph.apply('Cast', inputs, { to });
  }
  return undefined;
}

/** Whether elements stay in their places in memory: only axes of one element move. */
function keepsOrder(shape: Shape, perm: readonly number[]): boolean {
  const moved = perm.filter((axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!);
}

/** All others have kernels for numbers alone. */
const TAKES_BOOL: ReadonlySet<string> = new Set(['Where', 'Cast']);

const REDUCTIONS: ReadonlySet<string> = new Set([
  'ReduceSum',
  'ReduceMean',
  'ReduceMax',
  'ReduceSumSquare',
]);

/** A reduction of single elements, which copies; undefined for others. */
function unreduced(node: OperatorNode, x: Value): readonly Value[] | undefined {
  const { shape } = node.outputs[0]!;
  if (sizeOf(shape) !== sizeOf(x.shape)) return undefined;
  return [reshape(node.operator === 'ReduceSumSquare' ? mul(x, x) : x, shape)];
}

/** Operators whose result lies over their input; as an output of a graph it is copied. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Identity', 'Cast']);

/** Outputs that kernels write, each another. What is reshaped at the end is an output in the shape that it has before. */
function outputs(values: ReadonlyMap<string, Value>): Map<string, Value> {
  const written = new Map<Value, Value>();
  const made = new Map<string, Value>();
  for (const [name, value] of values) {
    const source = beforeReshapes(value);
    const { node, dtype } = source;
    const isView = node.kind !== 'operator' || VIEWS.has(node.operator);
    const needsKernel = (isView || written.has(source)) && dtype === 'float32';
    const last = written.get(source) ?? source;
    const output = needsKernel ? max(last, LEAST_FLOAT32) : isView ? value : source;
    written.set(source, output);
    made.set(name, output);
  }
  return made;
}

function beforeReshapes(value: Value): Value {
  const { node } = value;
  const isReshaped = node.kind === 'operator' && isKind(node, 'Reshape');
  return isReshaped ? beforeReshapes(node.inputs[0]!) : value;
}
