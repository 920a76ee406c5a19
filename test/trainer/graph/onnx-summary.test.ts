import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { summariseOnnx } from '../../../src/trainer/graph/onnx-summary.ts';
import { float, handModel, oneNode } from '../../support/onnx-models.ts';

test('a model as torch exports it: inputs, outputs, operators and weights', async () => {
  const path = fileURLToPath(new URL('../../golden/onnx-torch-mlp.onnx', import.meta.url));
  const summary = summariseOnnx(await readFile(path), path);
  expect(summary.notTrainable).toBeUndefined();
  expect(summary.opset['ai.onnx']).toBeGreaterThanOrEqual(13);
  expect(summary.inputs.map(({ name, dtype }) => [name, dtype])).toContainEqual(['x', 'float32']);
  const nodes = Object.values(summary.operators);
  expect(nodes).toEqual(nodes.toSorted((a, b) => b - a));
});

test('a model that cannot be differentiated: open sizes by name, and the reason', () => {
  const open = {
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'batch' }, { dimValue: 3 }] } } },
  };
  const bytes = handModel({
    inputs: { x: open },
    initializers: { w: float([1, 2, 3]) },
    nodes: [
      { opType: 'Add', input: ['x', 'w'], output: ['a'] },
      { opType: 'Add', input: ['a', 'w'], output: ['b'] },
      { opType: 'Gelu', domain: 'com.microsoft', input: ['b'], output: ['y'] },
    ],
  });
  expect(summariseOnnx(bytes, 'm.onnx')).toMatchObject({
    opset: { 'ai.onnx': 17 },
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3] }],
    outputs: [{ name: 'y' }],
    operators: { Add: 2, 'com.microsoft.Gelu': 1 },
    weights: { tensors: 1, elements: 3 },
    notTrainable: expect.stringContaining('has no fixed shape'),
  });
});

test.each([
  ['text', new TextEncoder().encode('hello, world')],
  ['a model without outputs', handModel({ outputs: [] })],
  ['nothing', new Uint8Array()],
  ['a node that reads what nothing makes', oneNode({ operator: 'Relu', x: [2], input: ['z'] })],
])('%s is refused by name', (_, bytes) => {
  expect(() => summariseOnnx(bytes, 'm.onnx')).toThrow(
    expect.objectContaining({ code: 'FILE_FORMAT', message: expect.stringContaining('m.onnx') }),
  );
});
