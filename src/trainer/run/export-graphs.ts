/** @file The graphs that are exported: a network's velocity, and a student from noise to samples, both for any batch. */
import { bug } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import {
  add,
  concat,
  expand,
  max,
  min,
  mul,
  reshape,
  slice,
  sub,
  transpose,
} from '../graph/ops.ts';
import { standardGraph } from '../graph/standard-operators.ts';
import { SYMBOLIC_BATCH } from '../graph/symbolic-batch.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { classCount, type NetworkConfig, sampleShape, textWidths } from '../nn/config.ts';
import { type Condition, velocity } from '../nn/network.ts';
import { ParameterScope } from '../nn/parameters.ts';
import type { StudentSettings } from './model.ts';
import { makesPictures } from './model-words.ts';

/** Before the names of weights among a graph's inputs. */
export const WEIGHTS = 'network';

/** v(x, t, ...) as a graph with the inputs x, t and the network's condition, and the output `velocity`. */
export function velocityGraph(network: NetworkConfig, tokens: number): Graph {
  const graph = new Graph();
  const x = graph.input('x', [SYMBOLIC_BATCH, ...sampleShape(network)]);
  const t = graph.input('t', [SYMBOLIC_BATCH]);
  const condition = conditionInputs(graph, network, tokens);
  graph.output('velocity', velocity(new ParameterScope(graph, WEIGHTS), network, x, t, condition));
  return standardGraph(graph);
}

/**
 * A student as a graph from `noise` [batch, ...sample], the network's condition and, for students that add fresh noise,
 * `fresh_noise` [batch, steps - 1, ...sample] to `samples` and, for pictures, `images` [batch, height, width, 3] in [0, 1].
 */
export function samplerGraph(
  network: NetworkConfig,
  student: StudentSettings,
  tokens: number,
): Graph {
  const graph = new Graph();
  const shape = [SYMBOLIC_BATCH, ...sampleShape(network)];
  const noise = graph.input('noise', shape);
  const condition = conditionInputs(graph, network, tokens);
  const field = (x: Value, t: number) => {
    const times = expand(graph.scalar(t, 'float32'), [SYMBOLIC_BATCH]);
    return velocity(new ParameterScope(graph, WEIGHTS), network, x, times, condition);
  };
  const samples = walked(graph, noise, student, field);
  graph.output('samples', samples);
  if (makesPictures(network)) graph.output('images', images(samples));
  return standardGraph(graph);
}

function walked(
  graph: Graph,
  noise: Value,
  { tStar, cIn, grid, transition }: StudentSettings,
  field: (x: Value, t: number) => Value,
): Value {
  if (grid.length === 1) return oneStepStudent(noise, tStar, cIn, (z) => field(z, tStar));
  const isFresh = transition === 'fresh';
  const [batch, ...sample] = noise.shape as [number, ...number[]];
  const fresh = isFresh
    ? graph.input('fresh_noise', [batch, grid.length - 1, ...sample])
    : undefined;
  return grid.reduce(
    (x, t, k) => {
      const next = grid[k + 1] ?? 0;
      const stop = isFresh ? 0 : next;
      const moved = sub(x, mul(field(x, t), t - stop));
      if (!fresh || next === 0) return moved;
      const added = reshape(slice(fresh, 1, k, k + 1), noise.shape);
      return add(mul(moved, 1 - next), mul(added, next));
    },
    cIn === 1 ? noise : mul(noise, cIn),
  );
}

/** Samples [B, 1 or 3, H, W] in [-1, 1] as pictures [B, H, W, 3] in [0, 1]. */
function images(samples: Value): Value {
  const planes = samples.shape[1] === 1 ? concat([samples, samples, samples], 1) : samples;
  const scaled = add(mul(planes, 0.5), 0.5);
  return transpose(min(max(scaled, 0), 1), [0, 2, 3, 1]);
}

function conditionInputs(graph: Graph, network: NetworkConfig, tokens: number): Condition {
  const labels =
    classCount(network) > 0 ? graph.input('labels', [SYMBOLIC_BATCH], 'int64') : undefined;
  const text = textWidths(network);
  if (!text) return { labels };
  if (tokens < 1) throw bug('a network with text needs a number of tokens');
  const context = graph.input('context', [SYMBOLIC_BATCH, tokens, text.contextWidth]);
  if (text.pooledWidth === 0) return { labels, context };
  return { labels, context, pooled: graph.input('pooled', [SYMBOLIC_BATCH, text.pooledWidth]) };
}
