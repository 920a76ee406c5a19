/** @file Floating-point operations of one evaluation of a network: two for each multiplication with an addition. */
import { Graph, type OperatorNode } from '../src/trainer/graph/graph.ts';
import { neededNodes } from '../src/trainer/graph/onnx-encode.ts';
import { classCount, type NetworkConfig, sampleShape } from '../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../src/trainer/nn/network.ts';
import { ParameterScope } from '../src/trainer/nn/parameters.ts';
import { sizeOf } from '../src/trainer/tensor.ts';

/** Millions of operations in products and convolutions for one sample; what is done element by element is left out. */
export function megaflops(config: NetworkConfig): number {
  const graph = new Graph();
  const x = graph.input('x', [1, ...sampleShape(config)]);
  const labels = classCount(config) > 0 ? graph.input('labels', [1], 'int64') : undefined;
  graph.output(
    'v',
    velocity(new ParameterScope(graph, 'n'), config, x, graph.input('t', [1]), { labels }),
  );
  let sum = 0;
  for (const node of neededNodes(graph)) if (node.kind === 'operator') sum += 2 * products(node);
  return sum / 1e6;
}

export const parameterCount = (config: NetworkConfig): number => parameterList(config).size;

/** Multiplications with an addition. */
function products({ operator, inputs, outputs, attributes }: OperatorNode): number {
  const [a, b] = inputs;
  const out = sizeOf(outputs[0]!.shape);
  switch (operator) {
    case 'MatMul':
      return out * a!.shape.at(-1)!;
    case 'Gemm':
    case 'FusedMatMul':
      return out * a!.shape.at((attributes as { transA: number }).transA ? -2 : -1)!;
    case 'Conv':
      return out * sizeOf(b!.shape.slice(1));
    case 'ConvTranspose':
      return sizeOf(a!.shape) * sizeOf(b!.shape.slice(1));
    default:
      return 0;
  }
}
