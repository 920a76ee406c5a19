/** Every operator and its gradient rule: by central differences in float64, and on ONNX Runtime in float32. */
import { describe, expect, test } from 'vitest';
import { RULES } from '../../../src/trainer/autodiff/rules.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { OPERATORS, type OperatorName } from '../../../src/trainer/graph/operators.ts';
import { concat, mul, split } from '../../../src/trainer/graph/ops.ts';
import {
  differentiated,
  feedsOf,
  relativeGap,
  runOnce,
  type Slopes,
  type Subject,
  slopes,
} from '../../support/gradcheck.ts';
import { OPERATOR_CASES, type OperatorCase } from '../../support/operator-cases.ts';

const NAMES = Object.keys(OPERATORS) as OperatorName[];

/** Operators whose result does not change with small changes of their inputs. */
const PIECEWISE_CONSTANT: readonly OperatorName[] = ['Equal', 'Less', 'LessOrEqual', 'Greater'];

const subjectOf = (operator: OperatorName, { inputs, attributes }: OperatorCase): Subject => ({
  inputs,
  apply: (values) => values[0]!.graph.apply(operator, values, attributes),
});

const ROWS = NAMES.flatMap((operator) =>
  (OPERATOR_CASES[operator] ?? []).map((row, index) => {
    const shapes = row.inputs.map(({ shape }) => `[${shape}]`).join(' ');
    const title = `${operator} ${index}: ${shapes} ${JSON.stringify(row.attributes)}`;
    return [title, subjectOf(operator, row), index] as const;
  }),
);
const hasReals = ({ inputs }: Subject) =>
  inputs.some((input) => input.holds === 'reals' && !input.constant);
const REAL_ROWS = ROWS.filter(([, subject]) => hasReals(subject));

function expectSameSlopes({ byGradient, byDifference }: Slopes, tolerance: number): void {
  const scale = Math.max(1e-3, Math.abs(byGradient), Math.abs(byDifference));
  expect(Math.abs(byGradient - byDifference) / scale).toBeLessThan(tolerance);
}

test('every operator has a rule, cases, and no others have', () => {
  expect(Object.keys(RULES).sort()).toEqual(NAMES.toSorted());
  expect(Object.keys(OPERATOR_CASES).sort()).toEqual(NAMES.toSorted());
  expect(NAMES.filter((name) => OPERATOR_CASES[name].length === 0)).toEqual([]);
});

describe('float64, against central differences', () => {
  test.each(REAL_ROWS)('%s', (_title, subject, index) => {
    expectSameSlopes(slopes(subject, 1, 100 + index), 1e-6);
  });
});

describe('the gradient of the gradient', () => {
  const rows = REAL_ROWS.filter(([, , index]) => index < 2);
  test.each(rows)('%s', (_title, subject, index) => {
    expectSameSlopes(slopes(subject, 2, 200 + index), 1e-5);
  });
});

describe('float32 on ONNX Runtime, against the interpreter', () => {
  test.each(ROWS)('%s', (_title, subject) => {
    const { graph } = differentiated(subject, 'float32');
    const feeds = feedsOf(subject);
    const expected = interpret(graph, feeds);
    for (const [name, { shape, data }] of runOnce(graph, feeds)) {
      if (name.startsWith('loss')) continue;
      const reference = expected.get(name)!;
      expect(shape).toEqual(reference.shape);
      if (name.startsWith('y.')) {
        const gaps = data.map((v, i) => {
          const difference = Math.abs(v - reference.data[i]!);
          return difference / (1 + Math.abs(reference.data[i]!));
        });
        expect(Math.max(...gaps), name).toBeLessThan(1e-5);
      } else {
        expect(relativeGap(data, reference.data), name).toBeLessThan(1e-4);
      }
    }
  });
});

describe('operators with a gradient of zero', () => {
  const isInteger = ({ attributes }: OperatorCase) =>
    'to' in attributes && !attributes.to.startsWith('float');
  const rows = [
    ...PIECEWISE_CONSTANT.flatMap((operator) =>
      OPERATOR_CASES[operator].map((row) => subjectOf(operator, row)),
    ),
    ...OPERATOR_CASES.Cast.filter(isInteger).map((row) => subjectOf('Cast', row)),
  ].filter(hasReals);

  test.each(rows)('zeros of the shape of the input: %#', (subject) => {
    const { graph, reals } = differentiated(subject, 'float64');
    const results = interpret(graph, feedsOf(subject));
    for (const name of reals) {
      const { shape, data } = results.get(`g1.${name}`)!;
      expect(shape).toEqual(graph.inputs.get(name)!.shape);
      expect(data.every((v) => v === 0)).toBe(true);
    }
  });
});

describe('how gradients join', () => {
  const x = OPERATOR_CASES.Tanh[0]!.inputs[0]!;
  const doubled: readonly (readonly [string, Subject])[] = [
    ['one value as both operands', { inputs: [x], apply: ([a]) => [mul(a!, a!)] }],
    ['one value twice in a list', { inputs: [x], apply: ([a]) => [concat([a!, a!], 0)] }],
    ['a value and what was made of it', { inputs: [x], apply: ([a]) => [mul(a!, 3), a!] }],
    ['one of several outputs', { inputs: [x], apply: ([a]) => [split(a!, 1, [1, 2])[1]!] }],
  ];
  test.each(doubled)('%s', (_name, subject) => {
    expectSameSlopes(slopes(subject, 1, 300), 1e-6);
  });
});
