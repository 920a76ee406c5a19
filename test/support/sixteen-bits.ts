/**
 * @file Programs in 16 bits on the processor as a card computes them: each result of 16 bits is computed in float32 and
 * rounded. ONNX Runtime itself has no kernels in bfloat16 there, and between those in float16 it leaves roundings out.
 */
import { cudaGraph } from '../../src/trainer/graph/cuda-graph.ts';
import type { Graph, OperatorNode, Value } from '../../src/trainer/graph/graph.ts';
import { type LowType, lowPrecisionGraph } from '../../src/trainer/graph/low-precision.ts';
import { cast } from '../../src/trainer/graph/ops.ts';
import { isKind, rewritten } from '../../src/trainer/graph/rewrite.ts';
import type { Engine } from '../../src/trainer/runtime/engine.ts';

/** Their results are numbers that they were given, which are rounded. */
const MOVES: ReadonlySet<string> = new Set([
  ...['Identity', 'Reshape', 'Expand', 'Transpose', 'Concat', 'Slice', 'Split', 'Gather', 'Where'],
]);

/** Whether an operator's result is rounded to `low`. */
export function isRounded({ operator, outputs }: OperatorNode, low: LowType): boolean {
  return outputs[0]!.dtype === low && !MOVES.has(operator);
}

/** A graph in `low` as one in float32 that rounds by casts there and back; `exact` are the operators that do not. */
export function roundingGraph(
  graph: Graph,
  low: LowType,
  exact: (node: OperatorNode) => boolean = () => false,
): Graph {
  const round = (x: Value) => cast(cast(x, low), 'float32');
  return rewritten(graph, {
    replace: (node, inputs) => {
      if (isKind(node, 'Cast') && node.inputs[0]!.dtype === low) {
        return [cast(inputs[0]!, node.attributes.to)];
      }
      if (!isRounded(node, low)) return undefined;
      const results = isKind(node, 'Cast')
        ? [cast(inputs[0]!, 'float32')]
        : inputs[0]!.graph.apply(node.operator, inputs, node.attributes);
      return exact(node) ? results : results.map(round);
    },
  });
}

/** Makes an engine compute programs in `low` like that from now on. */
export function roundTo(low: LowType, on: Engine): void {
  on.formOf = (graph) => roundingGraph(cudaGraph(lowPrecisionGraph(graph, low)), low);
}
