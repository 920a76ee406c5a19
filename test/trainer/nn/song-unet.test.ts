import { describe, expect, onTestFinished, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { decodeOnnx } from '../../../src/trainer/graph/onnx-decode.ts';
import { encodeOnnx } from '../../../src/trainer/graph/onnx-encode.ts';
import { reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import {
  classCount,
  type NetworkConfig,
  NetworkConfigSchema,
  sampleShape,
} from '../../../src/trainer/nn/config.ts';
import { cachedBatch, parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { studentSettings } from '../../../src/trainer/run/model.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import { relativeGap } from '../../support/gradcheck.ts';
import { noiseOf, tinyModel } from '../../support/tiny-models.ts';

const TINY = {
  kind: 'song-unet',
  size: 4,
  channels: 1,
  width: 4,
  multipliers: [1, 2],
  blocks: 1,
  attention: [2],
  classes: 2,
};
const NCSNPP = { embedding: 'fourier', encoder: 'residual', filter: [1, 3, 3, 1] };

const parse = (fields: object) => NetworkConfigSchema.parse({ ...TINY, ...fields });

/** The velocity of noise at times `t`, with weights that are all different from zero. */
function velocityAt(network: NetworkConfig, t: readonly number[]): Float64Array {
  const graph = new Graph();
  const shape = [t.length, ...sampleShape(network)];
  const [x, labels] = [graph.input('x', shape), graph.input('labels', [t.length], 'int64')];
  const scope = new ParameterScope(graph, 'network');
  graph.output('u', velocity(scope, network, x, graph.input('t', [t.length]), { labels }));
  // The same noise in every place.
  const one = noiseOf(sampleShape(network)).data;
  const feeds = new Map<string, ArrayLike<number>>([
    ['x', t.flatMap(() => [...one])],
    ['t', t],
    ['labels', t.map(() => 1)],
  ]);
  for (const [name, { data }] of views(parameterList(network), tinyModel(network).parameters)) {
    feeds.set(`network/${name}`, data);
  }
  return interpret(graph, feeds).get('u')!.data;
}

const halves = (both: Float64Array) => [
  both.subarray(0, both.length / 2),
  both.subarray(both.length / 2),
];

describe('sizes', () => {
  test.each([
    // Those of the network that PyTorch is timed with, and of EDM's network for CIFAR-10.
    ['32 pixels, width 64', { width: 64, blocks: 2 }, 8_797_187],
    ['CIFAR-10', { width: 128, blocks: 4, augment: 9 }, 55_733_891],
  ])('%s: trained parameters', (_name, fields, expected) => {
    const network = parse({
      size: 32,
      channels: 3,
      multipliers: [2, 2, 2],
      attention: [16],
      classes: 0,
      ...fields,
    });
    const trained = parameterList(network).specs.filter(({ init }) => init.kind !== 'fixed');
    expect(trained.reduce((sum, { size }) => sum + size, 0)).toBe(expected);
  });

  test('the sample, the classes, and what fits the cache', () => {
    const network = parse({ channels: 3, classes: 5 });
    expect(sampleShape(network)).toEqual([3, 4, 4]);
    expect(classCount(network)).toBe(5);
    // The widest block joins 8 and 4 channels of 4x4.
    expect(cachedBatch(network)).toBe(Math.floor(2 ** 20 / (12 * 16)));
  });
});

describe('refused configurations', () => {
  test.each([
    ['multipliers', { size: 6, multipliers: [1, 1, 1] }],
    ['width', { width: 6 }],
    // 36 + 36 channels make no whole groups, 36 do.
    ['width', { size: 8, width: 36, multipliers: [4] }],
    ['filter', { filter: [1, 2, 1] }],
    ['filter', { filter: [1, -1] }],
  ])('%s: %j', (field, fields) => {
    const parsed = NetworkConfigSchema.safeParse({ ...TINY, ...fields });
    expect(parsed.error?.issues.map((issue) => issue.path[0])).toContain(field);
  });
});

describe('as a velocity', () => {
  test('an EDM network answers beyond its times as at their borders', () => {
    const network = parse({ precondition: 'edm' });
    const [early, first] = halves(velocityAt(network, [0, 0.002]));
    expect(early).toEqual(first);
    const [late, last] = halves(velocityAt(network, [1, 80 / 81]));
    expect(relativeGap(late!, last!)).toBeLessThan(1e-6);
    expect(late!.every(Number.isFinite)).toBe(true);
    const [inside, further] = halves(velocityAt(network, [0.5, 0.6]));
    expect(relativeGap(inside!, further!)).toBeGreaterThan(1e-3);
  });

  test.each([
    ['positional', {}],
    ['fourier', NCSNPP],
  ])('without preconditioning it depends on time: %s', (_name, fields) => {
    const [a, b] = halves(velocityAt(parse(fields), [0.3, 0.31]));
    expect(relativeGap(a!, b!)).toBeGreaterThan(1e-6);
    expect(relativeGap(a!, b!)).toBeLessThan(0.5);
  });
});

test('a fresh network says next to nothing, as its last layers start close to zero', () => {
  const network = parse({});
  const list = parameterList(network);
  const last = list.specs.find(({ name }) => name === 'model.dec.4x4_aux_conv.weight')!;
  const weights = views(list, initialise(list, 3)).get(last.name)!.data;
  const largest = Math.max(...weights.map(Math.abs));
  expect(largest).toBeGreaterThan(0);
  expect(largest).toBeLessThan(1e-5);
});

test('written as ONNX with its gradients, it is read again', () => {
  const network = parse({ ...NCSNPP, precondition: 'edm' });
  const { parameters } = tinyModel(network);
  const graph = new Graph();
  const x = graph.input('x', [2, ...sampleShape(network)]);
  const scope = new ParameterScope(graph, 'network');
  const labels = graph.input('labels', [2], 'int64');
  const u = velocity(scope, network, x, graph.input('t', [2]), { labels });
  graph.output('u', u);
  for (const [i, g] of gradients(reduceSumSquare(u), [x, ...scope.values()]).entries()) {
    graph.output(`g${i}`, g);
  }
  const feeds = new Map<string, ArrayLike<number>>([
    ['x', noiseOf([2, ...sampleShape(network)]).data],
    ['t', [0.2, 0.7]],
    ['labels', [2, 0]],
  ]);
  for (const [name, { data }] of views(scope.list(), parameters))
    feeds.set(`network/${name}`, data);
  const expected = interpret(graph, feeds);
  const found = interpret(decodeOnnx(encodeOnnx(graph)).graph, feeds);
  for (const [name, { data }] of expected) {
    expect(relativeGap(found.get(name)!.data, data), name).toBeLessThan(1e-6);
  }
});

describe('distilled', () => {
  const network = parse({ ...NCSNPP, precondition: 'edm' });
  const density = { kind: 'uniform', min: 0.02, max: 0.98 } as const;
  const distiller = (tStar: number) =>
    new Distiller({
      teacher: tinyModel(network),
      online: { init: 'teacher', updates: 1, learningRate: 1e-2, density },
      steps: 10,
      batch: 4,
      learningRate: 1e-2,
      warmup: 0,
      schedule: 'constant',
      lambda1: 1,
      weight: 'velocity',
      student: studentSettings({ tStar, cIn: tStar }),
      emaDecay: 0.9,
      clipNorm: 0,
      clipValue: 0,
      density,
      seed: 1,
    });

  test('all weights learn but those that are fixed', async () => {
    const trainer = distiller(0.97);
    onTestFinished(() => trainer.dispose());
    const teacher = tinyModel(network).parameters;
    await trainer.step(0);
    await trainer.step(1);
    const student = trainer.models().student.parameters;
    const list = parameterList(network);
    for (const { name, init, offset, size } of list.specs) {
      const moved = student
        .subarray(offset, offset + size)
        .some((w, i) => w !== teacher[offset + i]);
      expect(moved, name).toBe(init.kind !== 'fixed');
    }
    expect(student).toHaveLength(sizeOf([list.size]));
  });

  test('t* = 1 is refused, as EDM networks know no pure noise', () => {
    expect(() => distiller(1)).toThrow(/t\* is 1, .* up to 0\.9877 only/);
  });
});
