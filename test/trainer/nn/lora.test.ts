/** Adapters beside frozen weights: without effect at the start, the same as merged weights later, and all that trains. */
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { add, reduceSum, square } from '../../../src/trainer/graph/ops.ts';
import {
  type NetworkConfig,
  NetworkConfigSchema,
  sampleShape,
} from '../../../src/trainer/nn/config.ts';
import {
  DOWN,
  LoraConfigSchema,
  LoraScope,
  loraParameterList,
  UP,
} from '../../../src/trainer/nn/lora.ts';
import { mergeLora } from '../../../src/trainer/nn/lora-merge.ts';
import { type Condition, parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import { relativeGap, runOnce } from '../../support/gradcheck.ts';
import { normals, smallMmdit } from '../../support/small-mmdit.ts';

/** Odd, so that no activation has a weight's shape by chance. */
const BATCH = 3;

const DIT = NetworkConfigSchema.parse({
  kind: 'dit',
  size: 4,
  channels: 2,
  patch: 2,
  width: 16,
  depth: 2,
  heads: 2,
  classes: 3,
});

const NETWORKS: readonly (readonly [string, NetworkConfig, string[] | undefined])[] = [
  ['mmdit', smallMmdit({ qkNorm: true, dualBlocks: [0] }), undefined],
  ['dit', DIT, undefined],
  ['dit, other targets', DIT, ['ada', 'head', 'blocks.1.qkv']],
];

const loraOf = (targets?: string[]) =>
  LoraConfigSchema.parse({ rank: 5, alpha: 7, ...(targets && { targets }) });

type Lora = ReturnType<typeof loraOf>;

/** A graph with the inputs of a network, and what they are fed. */
function inputsOf(graph: Graph, network: NetworkConfig) {
  const shape = [BATCH, ...sampleShape(network)];
  const x = graph.input('x', shape);
  const t = graph.input('t', [BATCH]);
  const feeds = new Map<string, ArrayLike<number>>([
    ['x', normals(sizeOf(shape), 5)],
    ['t', [0.3, 0.8, 0.5]],
  ]);
  let condition: Condition = {};
  if (network.kind === 'mmdit') {
    const context = graph.input('context', [BATCH, 3, network.contextWidth]);
    const pooled = graph.input('pooled', [BATCH, network.pooledWidth]);
    condition = { context, pooled };
    feeds.set('context', normals(sizeOf(context.shape), 6));
    feeds.set('pooled', normals(sizeOf(pooled.shape), 7));
  } else {
    condition = { labels: graph.input('labels', [BATCH], 'int64') };
    feeds.set('labels', [2, 0, 3]);
  }
  return { x, t, condition, feeds };
}

/** Random weights of the base and of one adapter, by the names of graph inputs. */
function weightsOf(network: NetworkConfig, lora: Lora) {
  const base = parameterList(network);
  const adapters = loraParameterList(network, lora);
  return {
    base,
    baseFlat: normals(base.size, 1, 0.1),
    adapters,
    adapterFlat: normals(adapters.size, 2, 0.3),
  };
}

describe.each(NETWORKS)('%s', (_title, network, targets) => {
  const lora = loraOf(targets);

  function outputs(adapterFlat: Float32Array): { base: Float64Array; adapted: Float64Array } {
    const graph = new Graph();
    const { x, t, condition, feeds } = inputsOf(graph, network);
    const { base, baseFlat, adapters } = weightsOf(network, lora);
    const frozen = new ParameterScope(graph, 'base');
    const scope = new LoraScope(frozen, new ParameterScope(graph, 'lora'), lora);
    graph.output('base', velocity(frozen, network, x, t, condition));
    graph.output('adapted', velocity(scope, network, x, t, condition));
    for (const [name, { data }] of views(base, baseFlat)) feeds.set(`base/${name}`, data);
    for (const [name, { data }] of views(adapters, adapterFlat)) feeds.set(`lora/${name}`, data);
    const results = runOnce(graph, feeds);
    return {
      base: Float64Array.from(results.get('base')!.data),
      adapted: Float64Array.from(results.get('adapted')!.data),
    };
  }

  test('fresh adapters change nothing', () => {
    const { base, adapted } = outputs(initialise(loraParameterList(network, lora), 9));
    expect(relativeGap(adapted, base)).toBeLessThan(1e-6);
  });

  test('adapters give what their product in the weights gives', async () => {
    const { base, baseFlat, adapters, adapterFlat } = weightsOf(network, lora);
    const { adapted, base: plain } = outputs(adapterFlat);
    expect(relativeGap(adapted, plain)).toBeGreaterThan(0.01);
    const factors = views(adapters, adapterFlat);
    const deltas = [...factors].flatMap(([name, up]) => {
      if (!name.endsWith(UP)) return [];
      const layer = name.slice(0, -UP.length);
      const down = factors.get(layer + DOWN)!;
      const [rows, rank] = up.shape as [number, number];
      const scale = lora.alpha / lora.rank;
      const whole = { target: `${layer}.weight`, from: 0, to: rows, swapped: false };
      return [{ ...whole, rank, inputs: down.shape[1]!, scale, up: up.data, down: down.data }];
    });
    await mergeLora(base, baseFlat, deltas, 1);
    const graph = new Graph();
    const { x, t, condition, feeds } = inputsOf(graph, network);
    graph.output('v', velocity(new ParameterScope(graph, 'base'), network, x, t, condition));
    for (const [name, { data }] of views(base, baseFlat)) feeds.set(`base/${name}`, data);
    expect(relativeGap(runOnce(graph, feeds).get('v')!.data, adapted)).toBeLessThan(2e-5);
  });

  test('two adapters share one base, and only the one that trains has gradients', () => {
    const graph = new Graph();
    const { x, t, condition, feeds } = inputsOf(graph, network);
    const { base, baseFlat, adapters, adapterFlat } = weightsOf(network, lora);
    const field = (scope: ParameterScope): Value =>
      velocity(
        new LoraScope(new ParameterScope(graph, 'base'), scope, lora),
        network,
        x,
        t,
        condition,
      );
    const student = new ParameterScope(graph, 'student');
    const loss = add(
      reduceSum(square(field(student))),
      reduceSum(square(field(new ParameterScope(graph, 'online')))),
    );
    const ofBase = [...graph.inputs.keys()].filter((name) => name.startsWith('base/'));
    expect(ofBase.length).toBe(base.specs.length);
    const forward = graph.nodes.length;
    const found = gradients(loss, student.values());
    for (const [i, { name }] of adapters.specs.entries()) graph.output(name, found[i]!);
    for (const [name, { data }] of views(base, baseFlat)) feeds.set(`base/${name}`, data);
    for (const prefix of ['student', 'online']) {
      for (const [name, { data }] of views(adapters, adapterFlat))
        feeds.set(`${prefix}/${name}`, data);
    }
    const results = runOnce(graph, feeds);
    const moving = adapters.specs.filter(({ name }) =>
      results.get(name)!.data.some((g) => g !== 0),
    );
    expect(moving.length).toBe(adapters.specs.length);
    // The backward pass makes no gradient of a frozen weight: nothing in it has such a matrix's shape.
    const matrices = base.specs.filter(({ shape }) => shape.length === 2 && shape[1] !== lora.rank);
    const shapes = new Set(matrices.map(({ shape }) => shape.join()));
    const made = graph.nodes
      .slice(forward)
      .flatMap(({ outputs }) => outputs.map(({ shape }) => shape.join()));
    expect(made.length).toBeGreaterThan(50);
    expect(made.filter((shape) => shapes.has(shape))).toEqual([]);
  });
});

test('layers that no network of the kind has are refused, naming those it has', () => {
  expect(() => loraParameterList(DIT, loraOf(['to_q']))).toThrow(
    expect.objectContaining({
      code: 'VALUE_OUT_OF_RANGE',
      message: 'no linear layer of the dit is named to_q',
      details: expect.objectContaining({ hint: expect.stringContaining('qkv, proj, fc1, fc2') }),
    }),
  );
});
