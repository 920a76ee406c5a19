/** @file Counts the bytes that a graph's operators read and write, from its shapes alone. */
import { sizeOf } from '../tensor.ts';
import type { Graph, Value } from './graph.ts';
import { neededNodes } from './onnx-encode.ts';
import { ELEMENT_BYTES } from './onnx-tensors.ts';

/** They give another shape to the same memory. */
const VIEWS = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze']);

/** Bytes read and written when each operator is a pass over its inputs and outputs: what fused operators save is not counted. */
export function trafficOf(graph: Graph): number {
  let bytes = 0;
  for (const node of neededNodes(graph)) {
    if (node.kind !== 'operator' || VIEWS.has(node.operator)) continue;
    for (const value of [...node.inputs, ...node.outputs]) bytes += bytesOf(value);
  }
  return bytes;
}

function bytesOf({ shape, dtype }: Value): number {
  return sizeOf(shape) * ELEMENT_BYTES[dtype];
}
