/** ONNX networks of others as teachers: their conventions, and what of their graphs becomes weights. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { textWidths } from '../../../src/trainer/nn/config.ts';
import { latestTime, parameterList } from '../../../src/trainer/nn/network.ts';
import { loadModel } from '../../../src/trainer/run/model-file.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { float, handModel, int64 } from '../../support/onnx-models.ts';
import { normals } from '../../support/small-mmdit.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { COUNT, greatest, velocityOf } from '../../support/velocities.ts';

const open = (shape: readonly (number | string)[], elemType = 1) => ({
  type: {
    tensorType: {
      elemType,
      shape: {
        dim: shape.map((d) => (typeof d === 'string' ? { dimParam: d } : { dimValue: d })),
      },
    },
  },
});

/** z W + b - time u, as a network with one weight matrix; outputs what the conventions are about. */
const W = [0.5, -1.25, 2, 0.75];
const LINEAR = {
  inputs: { z: open(['batch', 2]), time: open(['batch']) },
  initializers: {
    'net.weight': float(W, [2, 2]),
    'net.bias': float([0.25, -0.5]),
    shape: int64([-1, 1]),
    factor: float([0.125], []),
  },
  nodes: [
    { opType: 'MatMul', input: ['z', 'net.weight'], output: ['a'] },
    { opType: 'Add', input: ['a', 'net.bias'], output: ['b'] },
    { opType: 'Reshape', input: ['time', 'shape'], output: ['column'] },
    { opType: 'Mul', input: ['column', 'factor'], output: ['c'] },
    { opType: 'Add', input: ['b', 'c'], output: ['y'] },
  ],
};

/** What the network above gives for one point. */
const linear = ([p, q]: readonly [number, number], time: number): [number, number] => [
  p * W[0]! + q * W[2]! + 0.25 + 0.125 * time,
  p * W[1]! + q * W[3]! - 0.5 + 0.125 * time,
];

async function written(
  model: Parameters<typeof handModel>[0],
  declaration: object | string | undefined,
): Promise<string> {
  const file = join(await tempFolder(), 'net.onnx');
  await writeFile(file, handModel(model));
  if (declaration !== undefined) {
    const text = typeof declaration === 'string' ? declaration : JSON.stringify(declaration);
    await writeFile(`${file}.json`, text);
  }
  return file;
}

const INPUTS = { x: 'z', time: 'time' };

type Convention = readonly [
  title: string,
  declaration: object,
  /** The velocity at x and t from the network's formula. */
  wanted: (x: readonly [number, number], t: number) => readonly number[],
];

const scaled = (x: readonly [number, number], factor: number): [number, number] => [
  x[0] * factor,
  x[1] * factor,
];

/** sigma and the step of Ho et al.'s chain at which it is so, for t = 0.5 by hand: sigma = 1. */
const CONVENTIONS: readonly Convention[] = [
  ['a velocity at t', { predicts: 'velocity', time: 'flow' }, (x, t) => linear(x, t)],
  [
    'a velocity at 1000 t',
    { predicts: 'velocity', time: 'flow-1000' },
    (x, t) => linear(x, 1000 * t),
  ],
  [
    'a velocity from noise to data',
    { predicts: 'velocity', time: 'reversed' },
    (x, t) => linear(x, 1 - t).map((v) => -v),
  ],
  [
    'a denoiser at t',
    { predicts: 'denoiser', time: 'flow' },
    (x, t) => linear(x, t).map((d, i) => (x[i]! - d) / t),
  ],
  [
    'noise at t',
    { predicts: 'noise', time: 'flow' },
    (x, t) => linear(x, t).map((n, i) => (n - x[i]!) / (1 - t)),
  ],
  [
    "EDM's denoiser at sigma",
    { predicts: 'denoiser', time: 'sigma' },
    (x, t) => linear(scaled(x, 1 / (1 - t)), t / (1 - t)).map((d, i) => (x[i]! - d) / t),
  ],
  [
    'noise at sigma',
    { predicts: 'noise', time: 'sigma' },
    (x, t) => linear(scaled(x, 1 / (1 - t)), t / (1 - t)).map((n, i) => (n - x[i]!) / (1 - t)),
  ],
];

test.each(CONVENTIONS)('a network that predicts %s', async (_title, declared, wanted) => {
  const model = await loadModel(await written(LINEAR, { inputs: INPUTS, ...declared }));
  const x = normals(COUNT * 2, 1);
  const t = [0.25, 0.5, 0.8125];
  const found = velocityOf(model, t);
  const expected = t.flatMap((time, i) => [...wanted([x[2 * i]!, x[2 * i + 1]!], time)]);
  expect(greatest(expected, found)).toBeLessThan(1e-6);
});

describe('a network of a DDPM chain', () => {
  /** x0 and x1 that a network could know; the chain's variances as in Ho et al. 2020, cumulated here by hand. */
  const kept = Array.from({ length: 1000 }, (_, k) => 1 - (0.0001 + (k / 999) * (0.02 - 0.0001)));
  const alpha = (step: number) => kept.slice(0, step + 1).reduce((a, b) => a * b, 1);

  test('is asked at the step that has the noise level of t', async () => {
    for (const step of [20, 400, 900]) {
      const sigma = Math.sqrt(1 / alpha(step) - 1);
      const t = sigma / (1 + sigma);
      const model = await loadModel(
        await written(LINEAR, { inputs: INPUTS, predicts: 'noise', time: 'ddpm' }),
      );
      const x = normals(2, 1);
      // The chain's own input: sqrt(alpha) x0 + sqrt(1 - alpha) x1 for x = (1 - t) x0 + t x1.
      const z = scaled([x[0]!, x[1]!], Math.sqrt(alpha(step)) / (1 - t));
      const expected = linear(z, step).map((n, i) => (n - x[i]!) / (1 - t));
      const found = velocityOf(model, [t, t, t]).slice(0, 2);
      expect(greatest(expected, found)).toBeLessThan(1e-4 * Math.max(...expected.map(Math.abs)));
    }
  });

  test('may predict the velocity of its own path', async () => {
    const step = 300;
    const [a, s] = [Math.sqrt(alpha(step)), Math.sqrt(1 - alpha(step))];
    const t = s / (a + s);
    const model = await loadModel(
      await written(LINEAR, { inputs: INPUTS, predicts: 'velocity', time: 'ddpm' }),
    );
    const x = normals(2, 1);
    const z = scaled([x[0]!, x[1]!], a / (1 - t));
    // v = a x1 - s x0 and z = a x0 + s x1, so x0 = a z - s v and x1 = s z + a v.
    const expected = linear(z, step).map((v, i) => s * z[i]! + a * v - (a * z[i]! - s * v));
    const found = velocityOf(model, [t, t, t]).slice(0, 2);
    expect(greatest(expected, found)).toBeLessThan(1e-4 * Math.max(...expected.map(Math.abs)));
  });
});

test('times beyond what the network knows are told, and answered as at the border', async () => {
  const edm = await loadModel(
    await written(LINEAR, { inputs: INPUTS, predicts: 'denoiser', time: 'sigma' }),
  );
  expect(latestTime(edm.info.network)).toBeCloseTo(80 / 81, 12);
  expect(velocityOf(edm, [0.999, 1, 1]).every(Number.isFinite)).toBe(true);
});

test('weights are parameters; scalars and what shapes are made of are not', async () => {
  const model = await loadModel(
    await written(LINEAR, { inputs: INPUTS, predicts: 'velocity', time: 'flow' }),
  );
  const { specs } = parameterList(model.info.network);
  expect(specs.map(({ name, shape }) => [name, shape])).toEqual([
    ['net.weight', [2, 2]],
    ['net.bias', [2]],
  ]);
  expect([...model.parameters]).toEqual([...W, 0.25, -0.5]);
  expect(model.info).toMatchObject({ role: 'teacher', training: { source: 'net.onnx' } });
});

test('frozen weights keep their values in training', async () => {
  const declaration = { inputs: INPUTS, predicts: 'velocity', time: 'flow', frozen: ['*.bias'] };
  const model = await loadModel(await written(LINEAR, declaration));
  const kinds = parameterList(model.info.network).specs.map(({ init }) => init.kind);
  expect(kinds).toEqual(['uniform', 'fixed']);
});

test('sizes that the file computes from its input are known for every batch', async () => {
  // As torch writes x.reshape(x.shape[0], -1) and w.expand(x.shape[0], -1).
  const model = await loadModel(
    await written(
      {
        inputs: { z: open(['n', 2, 2]), time: open(['n', 1, 1]) },
        initializers: {
          zero: int64([0], []),
          axes: int64([0]),
          rest: int64([-1]),
          four: int64([4]),
          w: float([1, 2, 3, 4]),
        },
        nodes: [
          { opType: 'Shape', input: ['z'], output: ['shape'] },
          { opType: 'Gather', input: ['shape', 'zero'], output: ['size'] },
          { opType: 'Unsqueeze', input: ['size', 'axes'], output: ['first'] },
          { opType: 'Concat', input: ['first', 'rest'], output: ['to'], attributes: { axis: 0 } },
          { opType: 'Reshape', input: ['z', 'to'], output: ['flat'] },
          { opType: 'Concat', input: ['first', 'four'], output: ['wide'], attributes: { axis: 0 } },
          { opType: 'Expand', input: ['w', 'wide'], output: ['rows'] },
          { opType: 'Mul', input: ['flat', 'rows'], output: ['scaled'] },
          { opType: 'Reshape', input: ['scaled', 'shape'], output: ['square'] },
          { opType: 'Add', input: ['square', 'time'], output: ['y'] },
        ],
      },
      { inputs: INPUTS, predicts: 'velocity', time: 'flow' },
    ),
  );
  const x = normals(COUNT * 4, 1);
  const t = [0.25, 0.5, 0.75];
  const wanted = [...x].map((v, i) => v * ((i % 4) + 1) + t[Math.floor(i / 4)]!);
  expect(greatest(wanted, velocityOf(model, t))).toBeLessThan(1e-6);
});

test('labels as one-hot rows: no class is a row of zeros', async () => {
  const model = await loadModel(
    await written(
      {
        inputs: { z: open(['n', 2]), time: open(['n']), hot: open(['n', 2]) },
        initializers: { table: float([1, 2, 3, 4], [2, 2]), rest: int64([-1, 1]) },
        nodes: [
          { opType: 'MatMul', input: ['hot', 'table'], output: ['shift'] },
          { opType: 'Add', input: ['z', 'shift'], output: ['moved'] },
          { opType: 'Reshape', input: ['time', 'rest'], output: ['column'] },
          { opType: 'Mul', input: ['moved', 'column'], output: ['y'] },
        ],
      },
      { inputs: { ...INPUTS, labels: 'hot' }, classes: 2, predicts: 'velocity', time: 'flow' },
    ),
  );
  const x = normals(COUNT * 2, 1);
  const shifts = [1, 2, 3, 4, 0, 0];
  const wanted = [...x].map((v, i) => (v + shifts[i]!) * 0.5);
  expect(greatest(wanted, velocityOf(model, [0.5, 0.5, 0.5]))).toBeLessThan(1e-6);
});

test('of an output with variances the mean is taken', async () => {
  const model = await loadModel(
    await written(
      {
        inputs: { z: open(['n', 1, 2]), time: open(['n']) },
        initializers: { w: float([2, 3]), rest: int64([-1, 1, 1]) },
        nodes: [
          { opType: 'Mul', input: ['z', 'w'], output: ['a'] },
          { opType: 'Reshape', input: ['time', 'rest'], output: ['column'] },
          { opType: 'Add', input: ['a', 'column'], output: ['mean'] },
          { opType: 'Concat', input: ['mean', 'z'], output: ['y'], attributes: { axis: 1 } },
        ],
      },
      { inputs: INPUTS, predicts: 'velocity', time: 'flow' },
    ),
  );
  const x = normals(COUNT * 2, 1);
  const wanted = [...x].map((v, i) => v * [2, 3][i % 2]! + 0.5);
  expect(greatest(wanted, velocityOf(model, [0.5, 0.5, 0.5]))).toBeLessThan(1e-6);
});

describe('a network of text without a pooled vector', () => {
  const file = () =>
    written(
      {
        inputs: { z: open(['n', 2]), time: open(['n']), text: open(['n', 3, 2]) },
        initializers: { rest: int64([-1, 1]), w: float([1, 2]) },
        nodes: [
          {
            opType: 'ReduceMean',
            input: ['text'],
            output: ['mean'],
            attributes: { axes: [1], keepdims: 0 },
          },
          { opType: 'Mul', input: ['mean', 'w'], output: ['shift'] },
          { opType: 'Reshape', input: ['time', 'rest'], output: ['column'] },
          { opType: 'Sub', input: ['shift', 'column'], output: ['y'] },
        ],
      },
      { inputs: { ...INPUTS, context: 'text' }, predicts: 'velocity', time: 'flow' },
    );

  test('is sampled with texts, whose pooled vectors may be of any width', async () => {
    const model = await loadModel(await file());
    expect(textWidths(model.info.network)).toEqual({ tokens: 3, contextWidth: 2, pooledWidth: 0 });
    const noise = float32(Float32Array.of(1, 2), [1, 2]);
    const context = float32(Float32Array.of(3, 0, 0, 6, 0, 0), [1, 3, 2]);
    const text = { context, pooled: float32(new Float32Array(5), [1, 5]) };
    const { data } = await sample(model, { solver: 'euler', steps: 1, noise, text });
    // One step from t = 1: x - (mean w - 1), with the mean (1, 2) of the tokens.
    expect([...data]).toEqual([1 - (1 - 1), 2 - (4 - 1)]);
  });

  test('refuses texts of another length', async () => {
    const model = await loadModel(await file());
    const noise = float32(Float32Array.of(1, 2), [1, 2]);
    const text = {
      context: float32(new Float32Array(8), [1, 4, 2]),
      pooled: float32(new Float32Array(5), [1, 5]),
    };
    await expect(sample(model, { solver: 'euler', steps: 1, noise, text })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('"text" is [?, 3, 2] in the file and is fed [1, 4, 2]'),
    });
  });
});
