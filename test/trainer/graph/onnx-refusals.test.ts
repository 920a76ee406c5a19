/** What is refused when an ONNX file is read, and what the error says. */
import { expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import {
  float,
  handModel,
  inputMessage,
  int64,
  oneNode,
  tensorMessage,
} from '../../support/onnx-models.ts';

const dynamic = { type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'batch' }] } } } };
const negate = { opType: 'Neg', input: ['x'], output: ['y'] };

type Refusal = readonly [string, Uint8Array, string, RegExp];

const REFUSED: readonly Refusal[] = [
  [
    'an operator that we lack',
    oneNode({ operator: 'MaxPool', x: [1, 1, 2, 2] }),
    'OPERATOR_UNSUPPORTED',
    /node "here" \(MaxPool\)/,
  ],
  [
    'an operator of another domain',
    oneNode({ operator: 'Add', domain: 'my.ops', x: [2] }),
    'OPERATOR_UNSUPPORTED',
    /\(my\.ops\.Add\)/,
  ],
  [
    'names of object properties',
    oneNode({ operator: 'constructor', x: [2] }),
    'OPERATOR_UNSUPPORTED',
    /constructor/,
  ],
  [
    'an attribute that we lack',
    oneNode({ operator: 'Add', x: [2], input: ['x', 'x'], attributes: { axis: 1 } }),
    'OPERATOR_UNSUPPORTED',
    /attribute axis/,
  ],
  [
    'an attribute of another type',
    oneNode({ operator: 'Softmax', x: [2], attributes: { axis: 'last' } }),
    'FILE_FORMAT',
    /axis of another type/,
  ],
  [
    'steps of nothing',
    oneNode({
      operator: 'Slice',
      x: [4],
      constants: { s: int64([0]), e: int64([4]), a: int64([0]), steps: int64([0]) },
    }),
    'FILE_FORMAT',
    /node "here" \(Slice\) has the step 0/,
  ],
  [
    'padding with ones',
    oneNode({ operator: 'Pad', x: [4], constants: { pads: int64([1, 1]), value: float([1], []) } }),
    'OPERATOR_UNSUPPORTED',
    /mode constant, value 1/,
  ],
  [
    'padding by reflection of more than there is',
    oneNode({
      operator: 'Pad',
      x: [4],
      constants: { pads: int64([4, 1]) },
      attributes: { mode: 'reflect' },
    }),
    'FILE_FORMAT',
    /reflect cannot pad an axis of 4 by 4/,
  ],
  [
    'a convolution of channels that are not there',
    oneNode({
      operator: 'Conv',
      x: [1, 2, 3, 3],
      constants: { w: float(new Array(27).fill(1), [1, 3, 3, 3]) },
    }),
    'FILE_FORMAT',
    /\[1, 3, 3, 3\] does not slide over \[1, 2, 3, 3\]/,
  ],
  [
    'a kernel that is larger than the picture',
    oneNode({
      operator: 'Conv',
      x: [1, 1, 2, 2],
      constants: { w: float(new Array(9).fill(1), [1, 1, 3, 3]) },
    }),
    'FILE_FORMAT',
    /nothing is left of \[1, 1, 2, 2\]/,
  ],
  [
    'a group normalisation with scales by group',
    oneNode({
      operator: 'GroupNormalization',
      x: [1, 4, 2],
      constants: { s: float([1, 1]), b: float([0, 0]) },
      attributes: { num_groups: 2 },
    }),
    'OPERATOR_UNSUPPORTED',
    /2 scales for 4 channels/,
  ],
  [
    'resizing that is not by repetition',
    oneNode({
      operator: 'Resize',
      x: [1, 1, 2, 2],
      input: ['x', '', 'scales'],
      constants: { scales: float([1, 1, 2, 2]) },
      attributes: { mode: 'linear' },
    }),
    'OPERATOR_UNSUPPORTED',
    /resizes by 1, 1, 2, 2 with mode linear/,
  ],
  [
    'resizing that keeps proportions',
    oneNode({
      operator: 'Resize',
      x: [1, 1, 2, 2],
      input: ['x', '', 'scales'],
      constants: { scales: float([1, 1, 2, 2]) },
      attributes: { keep_aspect_ratio_policy: 'not_larger' },
    }),
    'OPERATOR_UNSUPPORTED',
    /resizes by/,
  ],
  [
    'a range without end',
    oneNode({
      operator: 'Range',
      x: [1],
      input: ['a', 'b', 'c'],
      constants: { a: int64([0], []), b: int64([1e12], []), c: int64([1], []) },
    }),
    'FILE_FORMAT',
    /makes 1000000000000 elements/,
  ],
  [
    'attention that looks back only',
    oneNode({
      operator: 'Attention',
      x: [1, 1, 2, 2],
      input: ['x', 'x', 'x'],
      attributes: { is_causal: 1 },
      opset: 23,
    }),
    'OPERATOR_UNSUPPORTED',
    /is causal/,
  ],
  [
    'dropout in training mode',
    oneNode({
      operator: 'Dropout',
      x: [2],
      constants: {
        ratio: float([0.5], []),
        training: { dtype: 'bool', shape: [], data: Uint8Array.of(1) },
      },
    }),
    'OPERATOR_UNSUPPORTED',
    /training mode/,
  ],
  [
    'a shape that is computed',
    oneNode({ operator: 'Reshape', x: [2], input: ['x', 'x'] }),
    'OPERATOR_UNSUPPORTED',
    /input 2 that is computed/,
  ],
  [
    'inputs that do not fit',
    oneNode({ operator: 'Add', x: [2], constants: { b: float([1, 2, 3]) } }),
    'FILE_FORMAT',
    /node "here" \(Add\) does not fit its inputs: .*\[2\] and \[3\]/,
  ],
  [
    'too few inputs',
    oneNode({ operator: 'Add', x: [2] }),
    'FILE_FORMAT',
    /node "here" \(Add\) has 1 inputs/,
  ],
  [
    'an output that the operator does not make',
    oneNode({ operator: 'Neg', x: [2], outputs: ['y', 'z'] }),
    'OPERATOR_UNSUPPORTED',
    /output 2, "z"/,
  ],
  [
    'a dimension with a name',
    handModel({ inputs: { x: dynamic }, nodes: [negate] }),
    'OPERATOR_UNSUPPORTED',
    /input "x" has no fixed shape: \[\?\]/,
  ],
  [
    'an input without a shape',
    handModel({ inputs: { x: { type: { tensorType: { elemType: 1 } } } }, nodes: [negate] }),
    'OPERATOR_UNSUPPORTED',
    /no fixed shape/,
  ],
  [
    'an input that is no tensor',
    handModel({ inputs: { x: {} }, nodes: [negate] }),
    'OPERATOR_UNSUPPORTED',
    /no tensor/,
  ],
  [
    'an element type that we lack',
    handModel({
      inputs: { x: { type: { tensorType: { elemType: 14, shape: { dim: [] } } } } },
      nodes: [negate],
    }),
    'OPERATOR_UNSUPPORTED',
    /element type 14/,
  ],
  [
    'an old operator set',
    handModel({ inputs: { x: [2] }, nodes: [negate], opset: 11 }),
    'OPERATOR_UNSUPPORTED',
    /operator set 11/,
  ],
  [
    'a tensor in another file',
    handModel({
      initializers: { x: { dims: [2], dataType: 1, dataLocation: 1 } },
      nodes: [negate],
    }),
    'OPERATOR_UNSUPPORTED',
    /tensor "x" lies in another file/,
  ],
  [
    'a sparse tensor',
    handModel({
      inputs: { x: [2] },
      nodes: [negate],
      graph: { sparseInitializer: [{ values: tensorMessage('s', float([1])) }] },
    }),
    'OPERATOR_UNSUPPORTED',
    /sparse/,
  ],
  [
    'a tensor with too few bytes',
    handModel({
      initializers: { x: { dims: [2], dataType: 1, rawData: new Uint8Array(7) } },
      nodes: [negate],
    }),
    'FILE_FORMAT',
    /tensor "x" of shape \[2\] holds 7 bytes/,
  ],
  [
    'a tensor of negative size',
    handModel({ initializers: { x: { dims: [-1, -1], dataType: 1 } }, nodes: [negate] }),
    'FILE_FORMAT',
    /no such shape/,
  ],
  [
    'a value that nothing makes',
    handModel({ nodes: [negate] }),
    'FILE_FORMAT',
    /node number 1 \(Neg\) reads "x"/,
  ],
  [
    'an output that nothing makes',
    handModel({ inputs: { x: [2] }, outputs: ['z'] }),
    'FILE_FORMAT',
    /nothing makes the output "z"/,
  ],
  [
    'one name for two values',
    handModel({ inputs: { x: [2] }, nodes: [negate, negate] }),
    'FILE_FORMAT',
    /"y" is defined twice/,
  ],
  [
    'one name for two inputs',
    handModel({
      nodes: [negate],
      graph: { input: [inputMessage('x', [2]), inputMessage('x', [3])] },
    }),
    'FILE_FORMAT',
    /"x" is defined twice/,
  ],
  ['no outputs', handModel({ inputs: { x: [2] }, outputs: [] }), 'FILE_FORMAT', /has no outputs/],
];

test.each(REFUSED)('refused: %s', (_title, bytes, code, message) => {
  const found = (() => {
    try {
      return decodeOnnx(bytes, { file: 'some.onnx' });
    } catch (error) {
      return error;
    }
  })();
  expect(found).toBeInstanceOf(FlowstepError);
  const error = found as FlowstepError;
  expect(error.message).toMatch(message);
  expect(error.message).toMatch(/^some\.onnx/);
  expect(error.code).toBe(code);
  expect(error.hint).toBeTruthy();
  expect(error.details.file).toBe('some.onnx');
});
