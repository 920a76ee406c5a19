/** Our idea of ONNX Runtime's order against the order in its profile of a run. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { withRecompute } from '../../../src/trainer/autodiff/recompute.ts';
import { executionOrder } from '../../../src/trainer/graph/execution-order.ts';
import { filled, Graph } from '../../../src/trainer/graph/graph.ts';
import { encodeOnnx } from '../../../src/trainer/graph/onnx-encode.ts';
import { reduceSumSquare } from '../../../src/trainer/graph/ops.ts';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { sizeOf } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const NETWORK = NetworkConfigSchema.parse({
  kind: 'dit',
  size: 4,
  channels: 1,
  patch: 2,
  width: 8,
  depth: 3,
  heads: 2,
});

function gradientGraph(recompute: boolean): Graph {
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'network');
  const v = velocity(scope, NETWORK, graph.input('x', [2, 1, 4, 4]), graph.input('t', [2]));
  const loss = reduceSumSquare(v);
  graph.output('loss', loss);
  const backward = graph.nodes.length;
  for (const [i, gradient] of gradients(loss, scope.values()).entries()) {
    graph.output(`gradient-${i}`, gradient);
  }
  return recompute ? withRecompute(graph, backward) : graph;
}

/** Names of the operators in the order in which they were run. */
async function orderOfRun(graph: Graph): Promise<string[]> {
  const { api } = engine();
  const folder = await tempFolder();
  const session = engine().createSession(encodeOnnx(graph), {
    profile: join(folder, 'run'),
    entries: { 'optimization.disable_specified_optimizers': 'CommonSubexpressionElimination' },
  });
  const binding = api.create('CreateIoBinding', session);
  const options = api.create('CreateRunOptions');
  const bound = [
    ...[...graph.inputs].map(([name, value]) => ['BindInput', name, value] as const),
    ...[...graph.outputs].map(([name, value]) => ['BindOutput', name, value] as const),
  ].map(([how, name, { dtype, shape }]) => {
    const tensor = engine().bind({ dtype, shape, data: filled(dtype, sizeOf(shape), 0) });
    api.call(how, binding, name, tensor.value);
    return tensor;
  });
  api.call('RunWithBinding', session, options, binding);
  api.create('SessionEndProfiling', session, api.create('GetAllocatorWithDefaultOptions'));
  api.release('ReleaseIoBinding', binding);
  api.release('ReleaseRunOptions', options);
  api.release('ReleaseSession', session);
  for (const tensor of bound) engine().unbind(tensor);
  const [file] = await readdir(folder);
  const events = JSON.parse(await readFile(join(folder, file!), 'utf8')) as {
    name: string;
    cat: string;
  }[];
  return events.flatMap(({ name, cat }) =>
    cat === 'Node' && name.endsWith('_kernel_time') ? [name.slice(0, -'_kernel_time'.length)] : [],
  );
}

describe('the order of execution', () => {
  /** What we expect to run, and what ran of that: what the library fuses or folds has other names. */
  async function bothOrders(graph: Graph) {
    const run = await orderOfRun(graph);
    const names = executionOrder(graph).map((node) => `${node.operator}_${node.outputs[0]!.id}`);
    const expected = names.filter((name) => run.includes(name));
    expect(expected.length).toBeGreaterThan(0.9 * names.length);
    return { expected, ran: run.filter((name) => names.includes(name)) };
  }

  test('of a graph of kept order is that of the library', async () => {
    const { expected, ran } = await bothOrders(gradientGraph(true));
    expect(ran).toEqual(expected);
  });

  test('of another graph too, but for what a fused operator moves', async () => {
    const { expected, ran } = await bothOrders(gradientGraph(false));
    const alike = expected.filter((name, i) => ran[i] === name);
    expect(alike.length).toBeGreaterThan(0.9 * expected.length);
  });

  test('of a graph of kept order is that of its nodes, but for what nothing waits for', () => {
    const graph = gradientGraph(true);
    const places = new Map(graph.nodes.map((node, i) => [node, i]));
    const order = executionOrder(graph).map((node) => places.get(node)!);
    const moved = order.filter((place, i) => i > 0 && place < order[i - 1]!);
    expect(moved.length).toBeLessThan(0.1 * order.length);
  });
});
