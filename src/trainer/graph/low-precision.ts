/**
 * @file A graph whose products are computed in 16 bits, after PyTorch's autocast: products take and give the low type, what
 * stands between them keeps it, and sums, norms, softmax and losses are computed in float32. Inputs and outputs - state,
 * gradients, losses - stay float32.
 */
import { type DType, sizeOf } from '../tensor.ts';
import type { Graph, OperatorNode, Value } from './graph.ts';
import { cast } from './ops.ts';
import { isKind, rewritten } from './rewrite.ts';

export const LOW_TYPES = ['bfloat16', 'float16'] as const;
export type LowType = (typeof LOW_TYPES)[number];

export const isLow = (dtype: DType): dtype is LowType => LOW_TYPES.some((low) => low === dtype);

/** They add up in float32 whatever their type, which is what makes 16 bits enough. */
const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'FusedMatMul', 'Gemm', 'Conv']);

/** They give numbers that they were given. */
const MOVES: ReadonlySet<string> = new Set([
  ...['Identity', 'Reshape', 'Expand', 'Transpose', 'Concat', 'Slice', 'Split'],
]);

/** They lose nothing more than the rounding of their result, and keep the type of what they are given. */
const FOLLOWERS: ReadonlySet<string> = new Set([
  ...['Add', 'Sub', 'Mul', 'Neg', 'Sigmoid', 'Tanh', 'Gelu', 'QuickGelu', 'Softmax'],
  ...MOVES,
  ...['Gather', 'Where'],
]);

/** Further ones for which ONNX Runtime has kernels on CUDA in float16, but not in bfloat16. */
const MORE_IN_FLOAT16 = {
  products: new Set<string>(['ConvTranspose']),
  followers: new Set<string>(['Pad']),
};

/** Constants up to this size take the type of what they meet. */
const SMALL = 16;

/** The same inputs and outputs; products in `low`. */
export function lowPrecisionGraph(graph: Graph, low: LowType): Graph {
  const isFloat16 = low === 'float16';
  const isProduct = ({ operator }: OperatorNode) =>
    PRODUCTS.has(operator) || (isFloat16 && MORE_IN_FLOAT16.products.has(operator));
  const follows = ({ operator }: OperatorNode) =>
    FOLLOWERS.has(operator) || (isFloat16 && MORE_IN_FLOAT16.followers.has(operator));
  const isKept = graph.order === 'kept';

  function replace(node: OperatorNode, inputs: readonly Value[]): readonly Value[] | undefined {
    // Of another type - float64, whole numbers - nothing is changed, and a cast says itself what it gives.
    if (isKind(node, 'Cast') || !inputs.some(isFloat)) return undefined;
    const isLow = isProduct(node) || (follows(node) && allLow(inputs));
    const type: DType = isLow ? low : 'float32';
    const fitted = inputs.map((value) => (isFloat(value) ? typed(value, type) : value));
    if (!isKept) return fitted[0]!.graph.apply(node.operator, fitted, node.attributes);
    // What is computed again on purpose must not be merged.
    const outputs = node.outputs.map((value) =>
      isFloat(value) ? { ...value, dtype: type } : value,
    );
    return fitted[0]!.graph.repeat({ ...node, outputs }, fitted);
  }

  function allLow(inputs: readonly Value[]): boolean {
    // A vector among tensors is a bias, which takes the type of what it is added to.
    const rank = Math.max(...inputs.map(({ shape }) => shape.length));
    const isBias = ({ shape }: Value) => shape.length === 1 && rank > 1;
    const deciding = inputs.filter(
      (value) => isFloat(value) && !isSmallConstant(value) && !isBias(value),
    );
    return deciding.length > 0 && deciding.every(({ dtype }) => dtype === low);
  }

  const isFloat = ({ dtype }: Value) => dtype === 'float32' || dtype === low;
  const typed = (value: Value, dtype: DType) => {
    if (value.dtype === dtype) return value;
    return dtype === low && !isKept ? lowered(value) : cast(value, dtype);
  };
  /** Cast before it is moved, where that is no more to cast: the same numbers, and half of what is moved. */
  const lowered = (value: Value): Value => {
    const { node, index } = value;
    if (value.dtype === low) return value;
    if (node.kind !== 'operator' || !MOVES.has(node.operator)) return cast(value, low);
    const sources = sourcesOf(value);
    const total = [...sources].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    if (sources.size > 1 && total >= sizeOf(value.shape)) return cast(value, low);
    const inputs = node.inputs.map((input) => (isFloat(input) ? lowered(input) : input));
    return value.graph.apply(node.operator, inputs, node.attributes)[index]!;
  };

  return rewritten(graph, {
    replace,
    outputs: (values) =>
      new Map(
        [...values].map(([name, value]) => [
          name,
          isFloat(value) ? typed(value, 'float32') : value,
        ]),
      ),
  });
}

/** What the numbers of a value were before they were moved. */
function sourcesOf(value: Value): Set<Value> {
  const { node } = value;
  if (node.kind !== 'operator' || !MOVES.has(node.operator)) return new Set([value]);
  return new Set(node.inputs.flatMap((input) => [...sourcesOf(input)]));
}

function isSmallConstant({ node, shape }: Value): boolean {
  return node.kind === 'constant' && sizeOf(shape) <= SMALL;
}
