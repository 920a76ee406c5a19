/**
 * @file `BENCH_PYTHON=python3 npm run verify:precision`: what 16 bits cost in accuracy, on the processor, with every result
 * of 16 bits rounded as a card does: curves of the first steps beside those in float32, errors of gradients, where they come
 * from, and those of PyTorch's autocast with the same weights.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cudaGraph } from '../src/trainer/graph/cuda-graph.ts';
import type { Graph, OperatorNode, Value } from '../src/trainer/graph/graph.ts';
import { LOW_TYPES, lowPrecisionGraph } from '../src/trainer/graph/low-precision.ts';
import { NetworkConfigSchema } from '../src/trainer/nn/config.ts';
import { parameterList } from '../src/trainer/nn/network.ts';
import { initialise } from '../src/trainer/nn/parameters.ts';
import { BENCH_CONFIGS } from '../src/trainer/run/benchmark.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import {
  CASE_BATCH,
  computed,
  distance,
  drawFeeds,
  type Feeds,
  type Found,
  type GradientCase,
  gradientCase,
  type SmallConfig,
} from '../test/support/gradient-case.ts';
import { isRounded, roundingGraph } from '../test/support/sixteen-bits.ts';
import { difference } from './curves.ts';
import type { Curve } from './precision-curve.ts';
import { printed } from './printed.ts';
import { mergeResults } from './results.ts';

const CONFIGS = ['dit-xs', 'unet-xs'] as const;
const DRAWS = 20;
/** Untrained teachers that are distilled. */
const STARTS = 8;
const FIGURES = ['loss/online', 'loss/student', 'norm/student'] as const;

engine({ threads: 1 });
const python = process.env['BENCH_PYTHON'];
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const share = (x: number) => Number(x.toPrecision(3));

/** Of several draws or starts. */
function summary(values: readonly number[]) {
  const sorted = values.toSorted((a, b) => a - b);
  const squares = values.reduce((sum, x) => sum + x * x, 0);
  return {
    median: share(sorted[values.length >> 1]!),
    rms: share(Math.sqrt(squares / values.length)),
    largest: share(sorted.at(-1)!),
  };
}

async function curves(config: SmallConfig) {
  const run = (precision: string) =>
    printed<Curve[]>(process.execPath, [
      ...process.execArgv,
      here('./precision-curve.ts'),
      ...[config, precision, String(STARTS)],
    ]);
  const right = await run('float32');
  const results: Record<string, object> = {};
  for (const low of LOW_TYPES) {
    const found = await run(low);
    const gaps = (figure: string) =>
      found.map((curve, start) => difference(curve[figure], right[start]![figure]));
    const figures = FIGURES.map((figure) => [figure, summary(gaps(figure))]);
    // The norm of a step that overflowed in float16 is told as 0.
    const skipped = found.map(({ 'norm/online': online, 'norm/student': student }) =>
      [...online!, ...student!].reduce((count, norm) => count + Number(norm === 0), 0),
    );
    results[low] = { ...Object.fromEntries(figures), skipped };
  }
  return results;
}

/** What is rounded: an operator of the forward pass by what it does, or the backward pass as a whole. */
function kindOf({ operator, inputs, outputs }: OperatorNode, lossId: number): string {
  if (outputs[0]!.id > lossId) return 'backward';
  if (operator === 'Cast') {
    const { node } = origin(inputs[0]!);
    if (node.kind === 'operator') return `inputs of products: ${node.operator}`;
    return node.kind === 'constant' ? 'constants' : node.name.replace(/^trained.*/, 'weights');
  }
  if (operator === 'Conv') {
    const width = inputs[1]!.shape.at(-1)!;
    return `Conv ${width} x ${width}`;
  }
  return operator;
}

/** Where a value was made that has only been moved since. */
function origin(value: Value): Value {
  const { node } = value;
  const isMoved = node.kind === 'operator' && /^(Reshape|Transpose|Slice)$/.test(node.operator);
  return isMoved ? origin(node.inputs[0]!) : value;
}

async function gradients(made: GradientCase, draws: readonly Feeds[], right: readonly Found[]) {
  const errors = async (graph: Graph) => {
    const found = await computed(graph, draws);
    return summary(found.map(({ gradient }, i) => distance(gradient, right[i]!.gradient)));
  };
  const results: Record<string, object> = {};
  for (const low of LOW_TYPES) {
    const graph = cudaGraph(lowPrecisionGraph(made.graph, low));
    results[low] = await errors(roundingGraph(graph, low));
    if (low !== 'bfloat16') continue;
    const lossId = graph.outputs.get('loss')!.id;
    const rounded = graph.nodes.filter(
      (node): node is OperatorNode => node.kind === 'operator' && isRounded(node, low),
    );
    const alone: Record<string, number> = {};
    for (const kind of new Set(rounded.map((node) => kindOf(node, lossId)))) {
      const isExact = (node: OperatorNode) => kindOf(node, lossId) !== kind;
      alone[kind] = (await errors(roundingGraph(graph, low, isExact))).rms;
    }
    const sorted = Object.entries(alone).sort(([, a], [, b]) => b - a);
    results['bfloat16, rms of each kind alone'] = Object.fromEntries(sorted);
  }
  return results;
}

interface TorchErrors {
  readonly torch: string;
  readonly parity: number;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly curves: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

/** The same of PyTorch's autocast, with its own norms in 16 bits and, as on CUDA, in float32. */
async function torch(
  config: SmallConfig,
  { list, shape }: GradientCase,
  draws: readonly Feeds[],
  right: readonly Found[],
) {
  const folder = await mkdtemp(join(tmpdir(), 'flowstep-precision-'));
  try {
    const network = NetworkConfigSchema.parse(BENCH_CONFIGS[config].network);
    const starts = Array.from({ length: STARTS }, (_, start) =>
      initialise(parameterList(network), start),
    );
    const order = [...list.specs.map(({ name }) => `trained/${name}`), 'x', 'c', 't'];
    const numbers = [...draws.flatMap((feeds) => order.map((name) => feeds.get(name)!)), ...starts];
    const facts = {
      config,
      shape,
      batch: CASE_BATCH,
      parameters: list.specs.map((spec) => [spec.name, spec.shape]),
      losses: right.map(({ loss }) => loss),
      starts: STARTS,
    };
    await writeFile(join(folder, 'facts.json'), JSON.stringify(facts));
    const bytes = numbers.map((data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    await writeFile(join(folder, 'numbers.f32'), Buffer.concat(bytes));
    const found = await printed<TorchErrors>(python!, [here('./peer/torch_precision.py'), folder]);
    const summaries = (of: Readonly<Record<string, readonly number[]>>) =>
      Object.fromEntries(Object.entries(of).map(([name, values]) => [name, summary(values)]));
    return {
      torch: found.torch,
      parity: share(found.parity),
      gradients: summaries(found.gradients),
      curves: Object.fromEntries(
        Object.entries(found.curves).map(([how, figures]) => [how, summaries(figures)]),
      ),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

for (const config of CONFIGS) {
  const made = gradientCase(config);
  const draws = Array.from({ length: DRAWS }, (_, number) => drawFeeds(made, number));
  const right = await computed(made.graph, draws);
  const result = {
    draws: DRAWS,
    starts: STARTS,
    gradients: await gradients(made, draws, right),
    curves: await curves(config),
    ...(python && { peer: await torch(config, made, draws, right) }),
  };
  console.log(config, JSON.stringify(result, null, 2));
  await mergeResults('verify-precision', config, result);
}
