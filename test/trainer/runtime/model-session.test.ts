/** ONNX files run as they are: their ports, their outputs, and files that cannot be run. */
import { expect, onTestFinished, test } from 'vitest';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { ModelSession } from '../../../src/trainer/runtime/model-session.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { float, handModel, oneNode } from '../../support/onnx-models.ts';

function open(model: Uint8Array): ModelSession {
  const session = new ModelSession(model, 'a.onnx');
  onTestFinished(() => session[Symbol.dispose]());
  return session;
}

test('runs an operator that the graph of ours does not know, and gives its memory back', async () => {
  const session = open(oneNode({ operator: 'HardSwish', x: [1, 3] }));
  expect(session.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: [1, 3] }]);
  const before = engine().liveTensors;
  const y = new Float32Array(3);
  const x = float32(Float32Array.of(-4, 0.6, 5), [1, 3]);
  await session.run({ x }, { y: float32(y, [1, 3]) });
  // x min(max(x + 3, 0), 6) / 6
  expect(Array.from(y)).toEqual([-0, expect.closeTo((0.6 * 3.6) / 6, 6), 5]);
  await expect(session.run({ x: float32(y, [3]) }, {})).rejects.toMatchObject({ code: 'ENGINE' });
  expect(engine().liveTensors).toBe(before);
});

test('weights are no inputs, even where the file lists them among these', () => {
  const session = open(
    handModel({
      inputs: { x: [2], w: [2] },
      initializers: { w: float([1, 2]) },
      nodes: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
    }),
  );
  expect(session.inputs.map(({ name }) => name)).toEqual(['x']);
});

test.each([
  [Uint8Array.of(255, 1), 'FILE_FORMAT', 'a.onnx is not an ONNX model'],
  [handModel({ outputs: [] }), 'FILE_FORMAT', 'it has no outputs'],
  [
    handModel({ initializers: { w: { dims: [2], dataType: 1, dataLocation: 1 } } }),
    'OPERATOR_UNSUPPORTED',
    'tensor "w" is stored in another file',
  ],
  [oneNode({ operator: 'Nonsense', x: [1] }), 'ENGINE', 'a.onnx: '],
])('file %# is refused with %s', (model, code, message) => {
  expect(() => open(model)).toThrow(expect.objectContaining({ code }));
  expect(() => open(model)).toThrow(message);
});
