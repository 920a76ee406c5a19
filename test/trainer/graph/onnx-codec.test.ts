/** What we write as ONNX we read again, and every operator keeps its meaning. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { encodeOnnx } from '../../../src/trainer/graph/onnx-encode.ts';
import { PICTURE_FORMS } from '../../../src/trainer/graph/onnx-picture-forms.ts';
import type { OperatorName } from '../../../src/trainer/graph/operators.ts';
import { reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import { differentiated, feedsOf, relativeGap, runOnce } from '../../support/gradcheck.ts';
import { float, int64, oneNode } from '../../support/onnx-models.ts';
import { OPERATOR_CASES, randomNumbers } from '../../support/operator-cases.ts';

/** Attributes are stored in float32. */
const TOLERANCE = 1e-6;

type Feeds = ReadonlyMap<string, ArrayLike<number>>;

function expectSameResults(graph: Graph, again: Graph, feeds: Feeds): void {
  const expected = interpret(graph, feeds);
  const found = interpret(again, feeds);
  expect([...found.keys()]).toEqual([...expected.keys()]);
  for (const [name, { shape, data }] of expected) {
    expect(found.get(name)!.shape).toEqual(shape);
    expect(relativeGap(found.get(name)!.data, data), name).toBeLessThan(TOLERANCE);
  }
}

/** A small DiT with the gradient of all its parameters. */
function ditWithGradients() {
  const config = NetworkConfigSchema.parse({
    kind: 'dit',
    size: 4,
    channels: 2,
    patch: 2,
    width: 8,
    depth: 2,
    heads: 2,
    classes: 3,
  });
  const list = parameterList(config);
  const graph = new Graph();
  const random = randomNumbers(3);
  const feeds = new Map<string, ArrayLike<number>>([
    ['t', [0.2, 0.9]],
    ['labels', [2, 0]],
  ]);
  const shape = [2, ...sampleShape(config)];
  feeds.set('x', Array.from({ length: sizeOf(shape) }, random));
  const x = graph.input('x', shape);
  const scope = new ParameterScope(graph, 'network');
  const labels = graph.input('labels', [2], 'int64');
  const y = velocity(scope, config, x, graph.input('t', [2]), { labels });
  graph.output('y', y);
  const found = gradients(reduceSumSquare(y), [x, ...scope.values()]);
  for (const [i, g] of found.entries()) graph.output(`g${i}`, g);
  const flat = initialise(list, 1).map((w) => w + 0.2 * random() - 0.1);
  for (const [name, { data }] of views(list, flat)) feeds.set(`network/${name}`, data);
  return { graph, feeds };
}

describe('encode, then decode', () => {
  const rows = Object.entries(OPERATOR_CASES).flatMap(([operator, cases]) =>
    cases.map((row, i) => [`${operator} ${i}`, operator as OperatorName, row] as const),
  );
  test.each(rows)('%s, with its gradient', (_title, operator, { inputs, attributes }) => {
    const subject = {
      inputs,
      apply: (values: Parameters<Graph['apply']>[1]) =>
        values[0]!.graph.apply(operator, values, attributes),
    };
    const { graph } = differentiated(subject, 'float32');
    const { graph: again } = decodeOnnx(encodeOnnx(graph));
    expectSameResults(graph, again, feedsOf(subject));
  });

  test('a DiT with the gradients of its parameters', () => {
    const { graph, feeds } = ditWithGradients();
    const { graph: again } = decodeOnnx(encodeOnnx(graph));
    expectSameResults(graph, again, feeds);
    // What was read runs on ONNX Runtime as well.
    const expected = interpret(graph, feeds);
    for (const [name, { data }] of runOnce(again, feeds)) {
      expect(relativeGap(data, expected.get(name)!.data), name).toBeLessThan(1e-4);
    }
  });

  test('metadata, outputs that are inputs or constants, and one value under two names', () => {
    const graph = new Graph();
    const x = graph.input('x', [2]);
    graph.output('same', x);
    graph.output('four', graph.scalar(4, 'float32'));
    const [y] = graph.apply('Neg', [x], {});
    graph.output('y', y!);
    graph.output('y again', y!);
    const { graph: again, metadata } = decodeOnnx(encodeOnnx(graph, { made: 'here' }));
    expect(metadata).toEqual({ made: 'here' });
    expectSameResults(graph, again, new Map([['x', [1, -2]]]));
  });

  test('what no output needs is left out', () => {
    const graph = new Graph();
    const x = graph.input('x', [2]);
    graph.apply('Exp', [x], {});
    graph.output('y', graph.apply('Neg', [x], {})[0]!);
    const { graph: again } = decodeOnnx(encodeOnnx(graph));
    expect(again.nodes.map((n) => (n.kind === 'operator' ? n.operator : n.kind))).toEqual([
      'input',
      'Neg',
    ]);
  });
});

describe('bytes that are no model', () => {
  const refusal = (bytes: Uint8Array) => {
    try {
      decodeOnnx(bytes, { file: 'some.onnx' });
      return 'read';
    } catch (error) {
      if (error instanceof FlowstepError && error.kind === 'user') return 'refused';
      throw error;
    }
  };

  test('arbitrary bytes are refused with an error that names the file', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(bytes)).toBe('refused');
      }),
      { numRuns: 2000 },
    );
    expect(() => decodeOnnx(new Uint8Array(), { file: 'some.onnx' })).toThrow(
      /^some\.onnx is not an ONNX model/,
    );
  });

  test('a model with changed or missing bytes is read or refused, but nothing else happens', () => {
    const models = [
      encodeOnnx(differentiated(lastOf('Gather'), 'float32').graph),
      encodeOnnx(differentiated(lastOf('Slice'), 'float32').graph),
      encodeOnnx(differentiated(lastOf('Gemm'), 'float32').graph),
      encodeOnnx(differentiated(lastOf('Split'), 'float32').graph),
      encodeOnnx(differentiated(lastOf('Reshape'), 'float32').graph),
    ];
    const change = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(
        fc.constantFrom(...models),
        fc.array(change, { maxLength: 4 }),
        fc.nat(),
        (model, changes, cut) => {
          const bytes = model.slice(0, cut % 4 ? model.length : cut % model.length);
          if (bytes.length === 0) return;
          for (const { at, to } of changes) bytes[at % bytes.length] = to;
          expect(['read', 'refused']).toContain(refusal(bytes));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('a node with any numbers in it is refused, or read and run', () => {
    const small = fc.integer({ min: -3, max: 4 });
    const list = fc.array(small, { maxLength: 4 });
    const node = fc.record({
      operator: fc.constantFrom(...OPERATORS_OF_OTHERS),
      x: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      lists: fc.array(list, { maxLength: 3 }),
      isInteger: fc.boolean(),
      attributes: fc.dictionary(
        fc.constantFrom('axis', 'axes', 'keepdims', 'perm', 'num_outputs', 'allowzero', 'to'),
        fc.oneof(small, list),
        { maxKeys: 1 },
      ),
      outputs: fc.constantFrom(['y'], ['y'], ['y', 'z']),
    });
    let read = 0;
    fc.assert(
      fc.property(node, ({ operator, x, lists, isInteger, attributes, outputs }) => {
        const make = isInteger ? int64 : float;
        const constants = Object.fromEntries(lists.map((l, i) => [`c${i}`, make(l)]));
        const bytes = oneNode({ operator, x, constants, attributes, outputs, opset: 18 });
        if (refusal(bytes) === 'refused') return;
        read++;
        const { graph } = decodeOnnx(bytes);
        const feeds = new Map([['x', new Array<number>(sizeOf(x)).fill(0)]]);
        const indices = operator === 'Gather' || operator === 'Cast';
        if (!indices) interpret(graph, feeds);
      }),
      { numRuns: 5000 },
    );
    expect(read).toBeGreaterThan(50);
  });
});

/** All that are read, with Constant, which has no inputs, left out. */
const OPERATORS_OF_OTHERS = [
  ...Object.keys(OPERATOR_CASES),
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Dropout',
  'Clip',
  'Sum',
  'Relu',
  ...Object.keys(PICTURE_FORMS),
];

function lastOf(operator: OperatorName) {
  const { inputs, attributes } = OPERATOR_CASES[operator].at(-1)!;
  return {
    inputs,
    apply: (values: Parameters<Graph['apply']>[1]) =>
      values[0]!.graph.apply(operator, values, attributes),
  };
}
