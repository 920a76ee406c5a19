/** @file A graph written anew, node by node and in the same order. */
import type { DType, Tensor } from '../tensor.ts';
import { Graph, type OperatorNode, type Value } from './graph.ts';

export interface Rewriting {
  /** What stands in place of an operator; undefined = the operator itself. */
  replace(node: OperatorNode, inputs: readonly Value[]): readonly Value[] | undefined;
  /** What stands in place of the outputs, by name. */
  outputs?(values: ReadonlyMap<string, Value>): ReadonlyMap<string, Value>;
  /** The type that stands for another, everywhere; `convert` makes constants of it. */
  type?(dtype: DType): DType;
  convert?(tensor: Tensor): Tensor;
}

/** The same inputs and outputs. A graph whose order is kept keeps it. */
export function rewritten(graph: Graph, rewriting: Rewriting): Graph {
  const { replace, outputs, type, convert } = rewriting;
  const result = new Graph(graph.order);
  const typed = (value: Value) => (type ? { ...value, dtype: type(value.dtype) } : value);
  const values = new Map<number, Value>();
  for (const node of graph.nodes) {
    const made = (() => {
      switch (node.kind) {
        case 'input': {
          const { shape, dtype } = typed(node.outputs[0]!);
          return [result.input(node.name, shape, dtype)];
        }
        case 'constant':
          return [result.constant(convert ? convert(node.tensor) : node.tensor)];
        case 'operator': {
          const inputs = node.inputs.map((v) => values.get(v.id)!);
          const replaced = replace(node, inputs);
          if (replaced) return replaced;
          // What was computed again on purpose must not be merged.
          return graph.order === 'kept'
            ? result.repeat({ ...node, outputs: node.outputs.map(typed) }, inputs)
            : result.apply(node.operator, inputs, node.attributes);
        }
      }
    })();
    for (const [i, { id }] of node.outputs.entries()) values.set(id, made[i]!);
  }
  const given = new Map([...graph.outputs].map(([name, { id }]) => [name, values.get(id)!]));
  for (const [name, value] of outputs ? outputs(given) : given) result.output(name, value);
  return result;
}

export function isKind<K extends OperatorNode['operator']>(
  node: OperatorNode,
  operator: K,
): node is OperatorNode<K> & OperatorNode {
  return node.operator === operator;
}
