/** @file Constant tensors in a graph's own precision. */
import type { Graph, Value } from '../graph/graph.ts';
import type { DType, Shape } from '../tensor.ts';

/** A constant of the given float type and shape. */
export function tableOf(
  graph: Graph,
  dtype: DType,
  shape: Shape,
  values: readonly number[],
): Value {
  const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
  return graph.constant({ dtype: dtype === 'float64' ? 'float64' : 'float32', shape, data });
}
