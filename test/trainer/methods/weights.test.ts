/** Weights of the velocity loss, and RealUID's terms, against their formulas in plain float64. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import {
  fgmLoss,
  VELOCITY_WEIGHTS,
  type VelocityWeight,
  velocityWeight,
} from '../../../src/trainer/methods/fgm.ts';
import {
  realDataOnlineLoss,
  scaledVelocity,
  usesRealData,
} from '../../../src/trainer/methods/real-data.ts';
import { randomNumbers } from '../../support/operator-cases.ts';

const [BATCH, DIM] = [3, 2];
const NAMES = ['x0', 'xt', 'u', 'v', 'c', 'cReal', 'vReal'] as const;

function numbers() {
  const random = randomNumbers(3);
  const feeds = new Map<string, number[]>(
    NAMES.map((name) => [name, Array.from({ length: BATCH * DIM }, () => 2 * random() - 0.8)]),
  );
  feeds.set('t', [0.1, 0.5, 0.9]);
  return feeds;
}

const rows = (flat: readonly number[]) =>
  Array.from({ length: BATCH }, (_, i) => flat.slice(DIM * i, DIM * (i + 1)));
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Weight of each sample, as the formula says. */
const FORMULAS: Record<VelocityWeight, (t: number, distance: number) => number> = {
  velocity: () => 1,
  x0: (t) => t * t,
  sid: (t, distance) => (t * t) / (distance + 1e-6),
  'sid-dit': (t) => t * t * (1 - t),
};

function expectedWeights(kind: VelocityWeight, feeds: ReadonlyMap<string, number[]>): number[] {
  const [x0, xt, u] = ['x0', 'xt', 'u'].map((name) => rows(feeds.get(name)!));
  return feeds.get('t')!.map((t, i) => {
    const distances = x0![i]!.map((x, j) => Math.abs(x - (xt![i]![j]! - t * u![i]![j]!)));
    return FORMULAS[kind](t, sum(distances) / DIM);
  });
}

/** (u - v).(v - c) and |u - v|^2 of each sample. */
function terms(feeds: ReadonlyMap<string, number[]>, factor = 1) {
  const [u, v, c] = ['u', 'v', 'c'].map((name) => rows(feeds.get(name)!));
  return u!.map((row, i) => ({
    cross: sum(row.map((x, j) => (x - v![i]![j]!) * (v![i]![j]! - factor * c![i]![j]!))),
    square: sum(row.map((x, j) => (x - v![i]![j]!) ** 2)),
  }));
}

function graphOf() {
  const graph = new Graph();
  const input = (name: string) => graph.input(name, [BATCH, DIM], 'float64');
  return { graph, input, t: graph.input('t', [BATCH], 'float64') };
}

describe.each(VELOCITY_WEIGHTS)('weight %s', (kind) => {
  test.each([0, 1, 0.4])('lambda1 %d: the mean of the weighted samples', (lambda1) => {
    const feeds = numbers();
    const { graph, input, t } = graphOf();
    const [x0, xt, u, v, c] = ['x0', 'xt', 'u', 'v', 'c'].map(input);
    const { weight } = velocityWeight(kind, t, { x0: x0!, xt: xt!, u: u! });
    graph.output('loss', fgmLoss(u!, v!, c!, lambda1, weight).loss);
    const weights = expectedWeights(kind, feeds);
    const each = terms(feeds).map(({ cross, square }) => lambda1 * square + 2 * cross);
    const expected = sum(each.map((term, i) => weights[i]! * term)) / BATCH;
    expect(interpret(graph, feeds).get('loss')!.data[0]).toBeCloseTo(expected, 12);
  });

  test('the gradient takes it as a constant of the sample', () => {
    const feeds = numbers();
    const { graph, input, t } = graphOf();
    const [x0, xt, u, v, c] = ['x0', 'xt', 'u', 'v', 'c'].map(input);
    const { weight, held } = velocityWeight(kind, t, { x0: x0!, xt: xt!, u: u! });
    const { loss } = fgmLoss(u!, v!, c!, 0, weight);
    const [ofC, ofX0] = gradients(loss, [c!, x0!], held);
    graph.output('c', ofC!);
    graph.output('x0', ofX0!);
    const results = interpret(graph, feeds);
    const weights = expectedWeights(kind, feeds);
    const [uRows, vRows] = ['u', 'v'].map((name) => rows(feeds.get(name)!));
    const expected = uRows!.flatMap((row, i) =>
      row.map((x, j) => (-2 * weights[i]! * (x - vRows![i]![j]!)) / BATCH),
    );
    for (const [k, g] of [...results.get('c')!.data].entries()) {
      expect(g).toBeCloseTo(expected[k]!, 12);
    }
    expect([...results.get('x0')!.data]).toEqual(new Array(BATCH * DIM).fill(0));
  });
});

describe('real data', () => {
  const weights = { realAlpha: 0.8, realBeta: 0.7 };

  test("the online flow's loss", () => {
    const feeds = numbers();
    const { graph, input } = graphOf();
    const [v, c, vReal, cReal] = ['v', 'c', 'vReal', 'cReal'].map(input);
    const loss = realDataOnlineLoss({ v: v!, c: c! }, { v: vReal!, c: cReal! }, weights);
    graph.output('loss', loss);
    const mean = (a: string, b: string, factor: number) =>
      sum(feeds.get(a)!.map((x, i) => (x - factor * feeds.get(b)![i]!) ** 2)) / BATCH;
    const expected = 0.8 * mean('v', 'c', 0.7 / 0.8) + 0.2 * mean('vReal', 'cReal', 0.3 / 0.2);
    expect(interpret(graph, feeds).get('loss')!.data[0]).toBeCloseTo(expected, 12);
  });

  test("the student's loss is |u - (b/a) c|^2 - |v - (b/a) c|^2", () => {
    const feeds = numbers();
    const { graph, input } = graphOf();
    const [u, v, c] = ['u', 'v', 'c'].map(input);
    graph.output('loss', fgmLoss(u!, v!, scaledVelocity(c!, weights), 1).loss);
    const off = (name: string) =>
      sum(feeds.get(name)!.map((x, i) => (x - (0.7 / 0.8) * feeds.get('c')![i]!) ** 2)) / BATCH;
    expect(interpret(graph, feeds).get('loss')!.data[0]).toBeCloseTo(off('u') - off('v'), 12);
  });

  test('alpha 1 asks for beta 1 and uses no data', () => {
    expect(usesRealData({ realAlpha: 1, realBeta: 1 })).toBe(false);
    expect(usesRealData({ realAlpha: 0.9, realBeta: 1 })).toBe(true);
    expect(() => usesRealData({ realAlpha: 1, realBeta: 0.9 })).toThrow(/realBeta is 0.9/);
    for (const bad of [0, -1, 1.1, Number.NaN]) {
      expect(() => usesRealData({ realAlpha: bad, realBeta: 0.9 })).toThrow(/must lie above 0/);
    }
  });
});
