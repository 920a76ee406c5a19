/**
 * The theory of Flow Generator Matching on normal distributions, where every flow is affine: the data
 * are N(0.7, 0.5^2), the generator is x0 = m + s z, and t is uniform in [0.02, 0.98].
 */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { fillTimes } from '../../../src/trainer/flow/density.ts';
import { linearPath } from '../../../src/trainer/flow/path.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { add, div, mul, reduceMean, reshape, square, sub } from '../../../src/trainer/graph/ops.ts';
import { fgmLoss, lambdaOfSidAlpha, oneStepStudent } from '../../../src/trainer/methods/fgm.ts';
import { NetworkConfigSchema, sampleShape } from '../../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { float32, sizeOf } from '../../../src/trainer/tensor.ts';
import { runOnce } from '../../support/gradcheck.ts';

interface Normal {
  readonly m: number;
  readonly s: number;
}

const DATA: Normal = { m: 0.7, s: 0.5 };
const START: Normal = { m: 0.1, s: 1.3 };
const DENSITY = { kind: 'uniform', min: 0.02, max: 0.98 } as const;
const BATCH = 8192;
const BATCHES = 60;

/** Slope, offset and variance at time t of the path from N(m, s^2): v(x) = slope x + offset. */
function affine({ m, s }: Normal, t: number) {
  const variance = (1 - t) ** 2 * s ** 2 + t ** 2;
  const slope = (t - (1 - t) * s ** 2) / variance;
  return { slope, offset: -m - slope * (1 - t) * m, variance };
}

/** The same velocity as a graph of x [B, 1] and t [B]. */
function affineField(m: Value | number, s: Value | number, x: Value, t: Value): Value {
  const time = reshape(t, [t.shape[0]!, 1]);
  const left = sub(1, time);
  const variance = typeof s === 'number' ? s ** 2 : square(s);
  const spread = add(mul(square(left), variance), square(time));
  const slope = div(sub(time, mul(left, variance)), spread);
  return sub(mul(slope, sub(x, mul(left, m))), m);
}

/** Mean of f over the times, by the midpoint rule. */
function overTime(f: (t: number) => number): number {
  const steps = 2000;
  const width = (DENSITY.max - DENSITY.min) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) sum += f(DENSITY.min + (i + 0.5) * width);
  return sum / steps;
}

/** E |u - v|^2 along the path of `generator`, for the flow v of `online`. */
function distance(generator: Normal, online: Normal): number {
  return overTime((t) => {
    const u = affine(DATA, t);
    const v = affine(online, t);
    const slope = u.slope - v.slope;
    const mean = slope * (1 - t) * generator.m + u.offset - v.offset;
    return slope ** 2 * affine(generator, t).variance + mean ** 2;
  });
}

function derivatives(f: (at: Normal) => number): [number, number] {
  const h = 1e-4;
  const { m, s } = START;
  return [
    (f({ m: m + h, s }) - f({ m: m - h, s })) / (2 * h),
    (f({ m, s: s + h }) - f({ m, s: s - h })) / (2 * h),
  ];
}

/** Samples of named scalars over many batches, by ONNX Runtime. */
function estimate(build: (graph: Graph, feeds: Record<string, Value>) => Record<string, Value>) {
  const graph = new Graph();
  const feeds = {
    z: graph.input('z', [BATCH, 1]),
    x1: graph.input('x1', [BATCH, 1]),
    t: graph.input('t', [BATCH]),
    m: graph.input('m', []),
    s: graph.input('s', []),
  };
  for (const [name, value] of Object.entries(build(graph, feeds))) graph.output(name, value);
  const program = new Program(graph, { name: 'estimate' });
  const memory = new Map(
    Object.entries(feeds).map(([name, { shape }]) => [name, new Float32Array(sizeOf(shape))]),
  );
  for (const [name, { shape }] of graph.inputs) {
    program.bindInput(name, float32(memory.get(name)!, shape));
  }
  const results = new Map([...graph.outputs.keys()].map((name) => [name, new Float32Array(1)]));
  for (const [name, data] of results) program.bindOutput(name, float32(data, []));
  return {
    /** Runs a batch at (m, s) and returns the value of each scalar. */
    draw(at: Normal, index: number): Record<string, number> {
      fillNormal(memory.get('z')!, 5, 0, index);
      fillNormal(memory.get('x1')!, 5, 1, index);
      fillTimes(memory.get('t')!, DENSITY, 5, 2, index);
      memory.get('m')![0] = at.m;
      memory.get('s')![0] = at.s;
      program.runSync();
      return Object.fromEntries([...results].map(([name, data]) => [name, data[0]!]));
    },
    [Symbol.dispose]: () => program.dispose(),
  };
}

/** Mean and standard error of each scalar at START. */
function means(estimator: ReturnType<typeof estimate>) {
  const draws = Array.from({ length: BATCHES }, (_, i) => estimator.draw(START, i));
  return Object.fromEntries(
    Object.keys(draws[0]!).map((name) => {
      const values = draws.map((draw) => draw[name]!);
      const mean = values.reduce((a, b) => a + b, 0) / BATCHES;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (BATCHES - 1);
      return [name, { mean, error: Math.sqrt(variance / BATCHES) }];
    }),
  );
}

/** The losses for the flow of `online` (numbers, or values that are not differentiated). */
function lossesOf(
  feeds: Record<string, Value>,
  online: { m: Value | number; s: Value | number },
  lambda1: number,
) {
  const { z, x1, t, m, s } = feeds as Record<'z' | 'x1' | 't' | 'm' | 's', Value>;
  const { xt, c } = linearPath(add(mul(z, s), m), x1, t);
  const u = affineField(DATA.m, DATA.s, xt, t);
  const v = affineField(online.m, online.s, xt, t);
  return { ...fgmLoss(u, v, c, lambda1), u, v, c };
}

describe('gradients with respect to m and s', () => {
  const whole = derivatives((at) => distance(at, at));
  const frozen = derivatives((at) => distance(at, START));
  const exact = {
    L1: frozen,
    L2: [whole[0] - frozen[0], whole[1] - frozen[1]],
    'L1+L2': whole,
    SiD: [whole[0] - 1.4 * frozen[0], whole[1] - 1.4 * frozen[1]],
  };

  test('closed forms, to the digits that a Monte Carlo run of 2 million samples gave elsewhere', () => {
    const found = Object.values(exact).map((g) => g.map((v) => v.toFixed(1)));
    expect(whole.map((v) => v.toFixed(4))).toEqual(['-1.9379', '2.6179']);
    expect(found.slice(0, 3)).toEqual([
      ['-0.9', '1.2'],
      ['-1.1', '1.5'],
      ['-1.9', '2.6'],
    ]);
  });

  test('each loss has the gradient that theory gives it, within four standard errors', () => {
    using estimator = estimate((_graph, feeds) => {
      const wrt = [feeds['m']!, feeds['s']!];
      const named = {
        L1: lossesOf(feeds, START, 1).distance,
        L2: lossesOf(feeds, START, 0).loss,
        'L1+L2': lossesOf(feeds, START, 1).loss,
        SiD: lossesOf(feeds, START, lambdaOfSidAlpha(1.2)).loss,
      };
      const slopes = Object.entries(named).map(([name, loss]) => [name, gradients(loss, wrt)]);
      return Object.fromEntries(
        (slopes as [string, Value[]][]).flatMap(([name, [dm, ds]]) => [
          [`${name} m`, dm!],
          [`${name} s`, ds!],
        ]),
      );
    });
    const found = means(estimator);
    for (const [name, [dm, ds]] of Object.entries(exact)) {
      for (const [axis, expected] of [
        ['m', dm!],
        ['s', ds!],
      ] as const) {
        const { mean, error } = found[`${name} ${axis}`]!;
        expect(error, name).toBeLessThan(0.02);
        expect(Math.abs(mean - expected) / error, `${name} ${axis}: ${mean}`).toBeLessThan(4);
      }
    }
  });
});

test('the flow product identity: E f(xt) v(xt) = E f(xt) c', () => {
  const exact = overTime((t) => {
    const u = affine(DATA, t);
    const v = affine(START, t);
    const mean = (1 - t) * START.m;
    return (
      u.slope * v.slope * v.variance + (u.slope * mean + u.offset) * (v.slope * mean + v.offset)
    );
  });
  using estimator = estimate((_graph, feeds) => {
    const { u, v, c, loss, distance: l1 } = lossesOf(feeds, START, 0);
    return { left: reduceMean(mul(u, v)), right: reduceMean(mul(u, c)), L2: loss, L1: l1 };
  });
  const { left, right, L1, L2 } = means(estimator) as Record<
    'left' | 'right' | 'L1' | 'L2',
    { mean: number; error: number }
  >;
  expect(Math.abs(left.mean - exact) / left.error).toBeLessThan(4);
  expect(Math.abs(right.mean - exact) / right.error).toBeLessThan(4);
  // What follows from it: the value of L2 is 0, so that L1 is the meter.
  expect(Math.abs(L2.mean) / L2.error).toBeLessThan(4);
  expect(Math.abs(L1.mean - distance(START, START)) / L1.error).toBeLessThan(4);
});

test.each([
  ['L1+L2', 1],
  ['L2', 0],
])('descent by %s with an exact online flow reaches the data', (_name, lambda1) => {
  using estimator = estimate((graph, feeds) => {
    const held = { m: graph.input('m', []), s: graph.input('s', []) };
    // The generator's own m and s are copies, so that the online flow is not differentiated.
    const own = { m: mul(held.m, 1), s: mul(held.s, 1) };
    const { loss } = lossesOf({ ...feeds, ...own }, held, lambda1);
    const [dm, ds] = gradients(loss, [own.m, own.s]);
    return { dm: dm!, ds: ds! };
  });
  let at = START;
  for (let step = 0; step < 250; step++) {
    const { dm, ds } = estimator.draw(at, step) as Record<'dm' | 'ds', number>;
    at = { m: at.m - 0.1 * dm, s: at.s - 0.1 * ds };
  }
  expect(at.m).toBeCloseTo(DATA.m, 3);
  expect(at.s).toBeCloseTo(DATA.s, 3);
});

describe('with u = v the gradient of the generator is exactly 0', () => {
  const networks = [
    { kind: 'mlp', dim: 3, width: 16, layers: 2 },
    { kind: 'dit', size: 4, channels: 2, patch: 2, width: 16, depth: 1, heads: 2 },
  ].map((config) => NetworkConfigSchema.parse(config));

  test.each(networks.flatMap((network) => [0, 1, -0.4].map((lambda1) => ({ network, lambda1 }))))(
    '$network.kind, lambda1 $lambda1',
    ({ network, lambda1 }) => {
      const graph = new Graph();
      const list = parameterList(network);
      const count = 5;
      const shape = [count, ...sampleShape(network)];
      const t = graph.input('t', [count]);
      const field = (prefix: string) => (x: Value) =>
        velocity(new ParameterScope(graph, prefix), network, x, t);
      const student = oneStepStudent(graph.input('z', shape), 0.97, 1, field('student'));
      const { xt, c } = linearPath(student, graph.input('x1', shape), t);
      const { loss } = fgmLoss(field('teacher')(xt), field('online')(xt), c, lambda1);
      const parameters = list.specs.map(({ name }) => graph.inputs.get(`student/${name}`)!);
      for (const [i, g] of gradients(loss, parameters).entries()) graph.output(`g${i}`, g);
      graph.output('size of x0', reduceMean(square(student)));

      const feeds = new Map<string, ArrayLike<number>>([['t', [0.03, 0.3, 0.5, 0.7, 0.97]]]);
      for (const name of ['z', 'x1']) {
        const noise = new Float32Array(sizeOf(shape));
        fillNormal(noise, 3, 0, name.length);
        feeds.set(name, noise);
      }
      const weights = (seed: number) => {
        const flat = initialise(list, seed);
        const jitter = new Float32Array(flat.length);
        fillNormal(jitter, seed, 9, 0);
        return views(
          list,
          flat.map((w, i) => w + 0.1 * jitter[i]!),
        );
      };
      for (const [prefix, seed] of [
        ['student', 1],
        ['teacher', 2],
        ['online', 2],
      ] as const) {
        for (const [name, { data }] of weights(seed)) feeds.set(`${prefix}/${name}`, data);
      }
      for (const run of [interpret, runOnce]) {
        for (const [name, { data }] of run(graph, feeds)) {
          expect(
            data.some((v) => v !== 0),
            name,
          ).toBe(!name.startsWith('g'));
        }
      }
    },
  );
});
