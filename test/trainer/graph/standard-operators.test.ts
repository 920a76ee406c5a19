/** Every operator by ONNX's own ones: none of ONNX Runtime's, none that is only in newer sets, and the same numbers. */
import { expect, test } from 'vitest';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { OPERATORS, type OperatorName, operatorRow } from '../../../src/trainer/graph/operators.ts';
import { standardGraph } from '../../../src/trainer/graph/standard-operators.ts';
import { OPERATOR_CASES } from '../../support/operator-cases.ts';

const special = (Object.keys(OPERATORS) as OperatorName[]).filter((name) => {
  const { domain, since } = operatorRow(name);
  return domain !== undefined || since !== undefined;
});

test.each(special)('%s', (name) => {
  for (const { inputs, attributes } of OPERATOR_CASES[name]) {
    const graph = new Graph();
    const values = inputs.map(({ shape }, i) => graph.input(`x${i}`, shape, 'float64'));
    const [y] = graph.apply(name, values, attributes);
    graph.output('y', y!);
    const feeds = new Map(inputs.map(({ values: data }, i) => [`x${i}`, data]));
    const standard = standardGraph(graph);
    const used = standard.nodes.flatMap((node) =>
      node.kind === 'operator' ? [node.operator] : [],
    );
    expect(used.filter((operator) => special.includes(operator))).toEqual([]);
    const right = interpret(graph, feeds).get('y')!.data;
    const found = interpret(standard, feeds).get('y')!.data;
    expect(found).toHaveLength(right.length);
    for (const [i, x] of right.entries()) expect(found[i]).toBeCloseTo(x, 10);
  }
});
