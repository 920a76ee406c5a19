/** Losses, gradients and two alternations of Flow Generator Matching, against PyTorch in float64. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { edmDenoiser, velocityOfDenoiser } from '../../../src/trainer/flow/edm.ts';
import { linearPath } from '../../../src/trainer/flow/path.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret, type Plain } from '../../../src/trainer/graph/interpreter.ts';
import {
  add,
  div,
  expand,
  log,
  mul,
  reduceSum,
  reduceSumSquare,
  reshape,
  softmax,
  square,
  sub,
} from '../../../src/trainer/graph/ops.ts';
import { fgmLoss, lambdaOfSidAlpha, oneStepStudent } from '../../../src/trainer/methods/fgm.ts';
import { flowMatchingLoss } from '../../../src/trainer/methods/flow-matching.ts';
import type { MlpConfig } from '../../../src/trainer/nn/config.ts';
import { mlp } from '../../../src/trainer/nn/mlp.ts';
import { type ParameterList, ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import {
  adamGraph,
  adamScalars,
  chunkInput,
  chunkOutput,
  EMA_INPUT,
  EPSILON_INPUT,
  RATE_INPUT,
  stateNames,
} from '../../../src/trainer/optim/adam.ts';
import type { Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { type RealType, relativeGap, runOnce } from '../../support/gradcheck.ts';

const SidecarSchema = z.object({
  config: z.object({
    network: z.string(),
    generator: z.string(),
    t_star: z.number(),
    teacher: z.enum(['velocity', 'edm']),
  }),
  definitions: z.object({ SiD: z.string() }),
  training: z.object({
    adam: z.object({ lr: z.number(), betas: z.tuple([z.number(), z.number()]), eps: z.number() }),
    ema: z.string(),
  }),
  values: z.record(z.string(), z.number()),
  edm_identity: z.object({ teacher: z.string() }).optional(),
});
type Sidecar = z.infer<typeof SidecarSchema>;

const NETS = ['teacher', 'online', 'generator'] as const;
type Net = (typeof NETS)[number];
type Feeds = ReadonlyMap<string, ArrayLike<number>>;
type Run = (graph: Graph, feeds: Feeds) => Map<string, Plain>;

const BACKENDS: readonly {
  readonly name: string;
  readonly dtype: RealType;
  readonly run: Run;
  readonly tolerance: number;
  readonly afterAdam: number;
}[] = [
  {
    name: 'float64, interpreter',
    dtype: 'float64',
    run: interpret,
    tolerance: 1e-10,
    afterAdam: 1e-10,
  },
  {
    name: 'float32, ONNX Runtime',
    dtype: 'float32',
    run: runOnce,
    tolerance: 1e-5,
    afterAdam: 5e-5,
  },
];

/** The number that a pattern captures in a description of the sidecar. */
function numberIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`${pattern} is not in "${text}"`);
  return Number(found);
}

/** A case as our code sees it: graphs are built of the functions that training uses. */
class Setting {
  readonly sidecar: Sidecar;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly mlp: MlpConfig;

  constructor(golden: GoldenCase, tensors: ReadonlyMap<string, Tensor>) {
    this.sidecar = SidecarSchema.parse(golden.sidecar);
    this.tensors = tensors;
    const layers = [...tensors.keys()].filter((name) => /^teacher\.\d+\.weight$/.test(name)).length;
    this.mlp = {
      kind: 'mlp',
      dim: tensors.get('z')!.shape[1]!,
      width: tensors.get('teacher.0.weight')!.shape[0]!,
      layers: layers - 1,
      activation: this.sidecar.config.network.includes('tanh') ? 'tanh' : 'silu',
      time: 'append',
    };
  }

  numbers(name: string): Float64Array {
    return Float64Array.from<number | bigint>(this.tensors.get(name)!.data, Number);
  }

  /** Weights of a network by the names of its graph inputs. */
  weights(net: Net): [string, Float64Array][] {
    return [...this.tensors.keys()]
      .filter((name) => /^(teacher|online|generator)\.\d/.test(name) && name.startsWith(net))
      .map((name) => [name.replace('.', '/net.'), this.numbers(name)]);
  }

  feeds(): Map<string, Float64Array> {
    const batch = (['z', 'x1', 't'] as const).map((name) => [name, this.numbers(name)] as const);
    return new Map([...batch, ...NETS.flatMap((net) => this.weights(net))]);
  }

  build(dtype: RealType) {
    const { config, edm_identity } = this.sidecar;
    const graph = new Graph();
    const [count, dim] = this.tensors.get('z')!.shape as [number, number];
    const z = graph.input('z', [count, dim], dtype);
    const x1 = graph.input('x1', [count, dim], dtype);
    const t = graph.input('t', [count], dtype);
    const scopes = Object.fromEntries(
      NETS.map((net) => [net, new ParameterScope(graph, net, dtype)]),
    ) as Record<Net, ParameterScope>;
    const field = (net: Net) => (x: Value, time: Value) => mlp(scopes[net], this.mlp, x, time);
    const atTStar = (x: Value) =>
      field('generator')(x, expand(graph.scalar(config.t_star, dtype), [count]));
    const x0 = config.generator.includes('x0 = z -')
      ? oneStepStudent(z, config.t_star, 1, atTStar)
      : atTStar(z);
    const { xt, c } = linearPath(x0, x1, t);
    const teacher = () => {
      if (config.teacher === 'velocity') return field('teacher')(xt, t);
      const sigmaData = numberIn(edm_identity?.teacher ?? '', /sigma_data ([\d.]+)/);
      const denoiser = (y: Value, s: Value) => edmDenoiser(field('teacher'), sigmaData, y, s);
      return velocityOfDenoiser(denoiser, xt, t);
    };
    const u = teacher();
    const v = field('online')(xt, t);
    return { graph, scopes, fields: { x0, xt, u, v, c } };
  }
}

type Built = ReturnType<Setting['build']>;

function losses({ fields: { u, v, c } }: Built, sidecar: Sidecar): Record<string, Value> {
  const alpha = numberIn(sidecar.definitions.SiD, /alpha ([\d.]+)/);
  const full = fgmLoss(u, v, c, 1);
  return {
    L1: full.distance,
    L2: fgmLoss(u, v, c, 0).loss,
    'L1+L2': full.loss,
    SiD: fgmLoss(u, v, c, lambdaOfSidAlpha(alpha)).loss,
  };
}

const onlineLoss = ({ fields: { v, c } }: Built) => flowMatchingLoss(v, c);

/** Names of our parameters as the golden files have them. */
const goldenName = (name: string) => name.replace(/^net\./, '');

function nameGradients(built: Built, loss: Value, of: Net, prefix: string): void {
  const scope = built.scopes[of];
  const found = gradients(loss, scope.values());
  for (const [i, { name }] of scope.list().specs.entries()) {
    built.graph.output(`${prefix}.${of}.${goldenName(name)}`, found[i]!);
  }
}

/** Loss and gradients of one network, and its update; `lambda1` undefined is the online flow's. */
function updateGraphs(setting: Setting, dtype: RealType, lambda1: number | undefined) {
  const built = setting.build(dtype);
  const of: Net = lambda1 === undefined ? 'online' : 'generator';
  const { u, v, c } = built.fields;
  const loss = lambda1 === undefined ? onlineLoss(built) : fgmLoss(u, v, c, lambda1).loss;
  built.graph.output('loss', loss);
  nameGradients(built, loss, of, 'grad');
  const { lr, betas, eps } = setting.sidecar.training.adam;
  const [beta1, beta2] = betas;
  const options = {
    beta1,
    beta2,
    epsilon: eps,
    clipNorm: 0,
    clipValue: 0,
    ema: of === 'generator',
  };
  const list = built.scopes[of].list();
  return {
    graph: built.graph,
    update: adamGraph(list.size, options, dtype),
    of,
    list,
    options,
    lr,
  };
}

/** Repeats the alternation of the sidecar and reports losses and weights under its names. */
function* train(setting: Setting, dtype: RealType, run: Run, variant: string, lambda1: number) {
  const networks = [
    updateGraphs(setting, dtype, undefined),
    updateGraphs(setting, dtype, lambda1),
  ] as const;
  const keep = numberIn(setting.sidecar.training.ema, /ema = ([\d.]+)\*ema/);
  const feeds = new Map<string, ArrayLike<number>>(setting.feeds());
  const flat = ({ specs }: ParameterList, vectorOf: (name: string) => ArrayLike<number>) =>
    Float64Array.from(specs.flatMap(({ name }) => Array.from(vectorOf(name))));
  const states = networks.map(({ of, list, options }) => {
    const weights = flat(list, (name) => feeds.get(`${of}/${name}`)!);
    return new Map<string, Float64Array>(
      stateNames(options).map((name) => [
        name,
        name.startsWith('moment') ? new Float64Array(list.size) : weights,
      ]),
    );
  });
  for (let step = 1; step <= 2; step++) {
    const at = `train.${variant}.${step}`;
    for (const [i, { graph, update, of, list, options, lr }] of networks.entries()) {
      const state = states[i]!;
      const names = stateNames(options);
      const found = run(graph, feeds);
      yield { name: `${at}.${of}_loss`, data: found.get('loss')!.data };
      const gradient = flat(list, (name) => found.get(`grad.${of}.${goldenName(name)}`)!.data);
      const { rate, epsilon } = adamScalars(options, step, lr);
      const results = run(
        update,
        new Map<string, ArrayLike<number>>([
          [RATE_INPUT, [rate]],
          [EPSILON_INPUT, [epsilon]],
          [EMA_INPUT, [1 - keep]],
          [chunkInput('gradient', 0), gradient],
          ...names.map((name) => [chunkInput(name, 0), state.get(name)!] as const),
        ]),
      );
      for (const name of names) state.set(name, results.get(chunkOutput(name, 0))!.data);
      for (const { name, offset, size } of list.specs) {
        const part = (vector: Float64Array) => vector.subarray(offset, offset + size);
        const weights = part(state.get('weights')!);
        feeds.set(`${of}/${name}`, weights);
        yield { name: `${at}.${of}.${goldenName(name)}`, data: weights };
        const ema = state.get('ema');
        if (ema) yield { name: `${at}.ema.${goldenName(name)}`, data: part(ema) };
      }
    }
  }
}

const hasMixture = (golden: GoldenCase) =>
  SidecarSchema.parse(golden.sidecar).edm_identity !== undefined;

/** The velocity of a mixture of Gaussians, from its denoiser E[x0 | y] in closed form. */
function mixture(tensors: ReadonlyMap<string, Tensor>, dtype: RealType) {
  const graph = new Graph();
  const feeds = new Map<string, ArrayLike<number>>();
  const given = (name: string, shape?: readonly number[]) => {
    const { data, shape: stored } = tensors.get(`identity.${name}`)!;
    feeds.set(name, Float64Array.from<number | bigint>(data, Number));
    return graph.input(name, shape ?? stored, dtype);
  };
  const [count, dim] = tensors.get('identity.x')!.shape as [number, number];
  const parts = tensors.get('identity.means')!.shape[0]!;
  const x = given('x');
  const t = given('t', [count]);
  const means = given('means', [1, parts, dim]);
  const spread = square(given('spreads', [1, parts, 1]));
  const weights = given('weights', [1, parts, 1]);
  const denoiser = (y: Value, sigma: Value) => {
    const gap = sub(reshape(y, [count, 1, dim]), means);
    const variance = add(spread, square(reshape(sigma, [count, 1, 1])));
    const exponent = div(reduceSumSquare(gap, [2], true), mul(variance, 2));
    const share = softmax(sub(log(weights), add(exponent, log(variance))), 1);
    return reduceSum(mul(share, add(means, mul(div(spread, variance), gap))), [1]);
  };
  graph.output('velocity', velocityOfDenoiser(denoiser, x, t));
  return { graph, feeds };
}

describe.each(goldenCases('fgm').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    describe.each(BACKENDS)('$name', ({ dtype, run, tolerance, afterAdam }) => {
      test('fields, losses and gradients', async () => {
        const setting = new Setting(golden, await golden.tensors());
        const built = setting.build(dtype);
        for (const [name, value] of Object.entries(built.fields)) built.graph.output(name, value);
        const all = losses(built, setting.sidecar);
        for (const [name, loss] of Object.entries(all)) {
          built.graph.output(`value.${name}`, loss);
          nameGradients(built, loss, 'generator', `grad.${name}`);
        }
        built.graph.output('value.online', onlineLoss(built));
        nameGradients(built, onlineLoss(built), 'online', 'grad.online');

        const results = run(built.graph, setting.feeds());
        for (const [name, { data }] of results) {
          const expected = name.startsWith('value.')
            ? [setting.sidecar.values[name.slice('value.'.length)]!]
            : setting.numbers(name);
          expect(relativeGap(data, expected), name).toBeLessThan(tolerance);
        }
        const stored = [...setting.tensors.keys()].filter((name) => name.startsWith('grad.'));
        expect(stored.filter((name) => !results.has(name))).toEqual([]);
      });

      // Only cases with an EDM teacher come with a mixture.
      test.each(hasMixture(golden) ? ['mixture'] : [])(
        'the exact denoiser of a %s gives its exact velocity',
        async () => {
          const tensors = await golden.tensors();
          const { graph, feeds } = mixture(tensors, dtype);
          const velocity = run(graph, feeds).get('velocity')!.data;
          const expected = Float64Array.from<number | bigint>(
            tensors.get('identity.velocity')!.data,
            Number,
          );
          expect(relativeGap(velocity, expected)).toBeLessThan(tolerance);
        },
      );

      test.each([
        ['L2', 0],
        ['L1+L2', 1],
      ] as const)('two alternations with %s', async (variant, lambda1) => {
        const setting = new Setting(golden, await golden.tensors());
        const seen = new Set<string>();
        for (const { name, data } of train(setting, dtype, run, variant, lambda1)) {
          seen.add(name);
          const expected = name.endsWith('_loss')
            ? [setting.sidecar.values[name]!]
            : setting.numbers(name);
          expect(relativeGap(data, expected), name).toBeLessThan(afterAdam);
        }
        const stored = [...setting.tensors.keys()].filter((name) =>
          name.startsWith(`train.${variant}.`),
        );
        expect(stored.filter((name) => !seen.has(name))).toEqual([]);
      });
    });
  },
);
