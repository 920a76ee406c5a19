/** @file Adapters added into the weights of a network. */
import { bug } from '../../errors.ts';
import { Graph } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { add, matMul, mul } from '../graph/ops.ts';
import { Program } from '../runtime/program.ts';
import { float32 } from '../tensor.ts';
import type { ParameterList } from './parameters.ts';

/** Rows [from, to) of a weight seen as a matrix; `swapped`: its two halves of rows are exchanged in the adapter. */
export interface WeightPart {
  readonly target: string;
  readonly from: number;
  readonly to: number;
  readonly swapped: boolean;
}

/** scale up down, added to a part of a weight: up [rows, rank], down [rank, inputs]. */
export interface LowRankDelta extends WeightPart {
  readonly rank: number;
  readonly inputs: number;
  readonly scale: number;
  readonly up: Float32Array;
  readonly down: Float32Array;
}

/** Adds strength times each delta to the weights in `flat`, the vector of `list`, in place and one after the other. */
export async function mergeLora(
  list: ParameterList,
  flat: Float32Array,
  deltas: readonly LowRankDelta[],
  strength: number,
): Promise<void> {
  const specs = new Map(list.specs.map((spec) => [spec.name, spec]));
  /** Deltas of one shape share a program. */
  const programs = new Map<string, Program>();
  try {
    for (const { target, from, to, swapped, rank, inputs, scale, up, down } of deltas) {
      const spec = specs.get(target);
      if (!spec) throw bug(`the network has no weight ${target}`);
      const rows = to - from;
      const key = `${rows} ${rank} ${inputs}`;
      const program = programs.get(key) ?? mergeProgram(rows, rank, inputs);
      programs.set(key, program);
      const start = spec.offset + from * inputs;
      const weight = float32(flat.subarray(start, start + rows * inputs), [rows, inputs]);
      program.bindInput('weight', weight);
      program.bindOutput('merged', weight);
      program.bindInput('up', float32(swapped ? halvesSwapped(up) : up, [rows, rank]));
      program.bindInput('down', float32(down, [rank, inputs]));
      program.bindInput('factor', float32(Float32Array.of(strength * scale), []));
      await program.run();
    }
  } finally {
    for (const program of programs.values()) program.dispose();
  }
}

/** merged = weight + factor up down, over the weight's own memory. */
function mergeProgram(rows: number, rank: number, inputs: number): Program {
  const graph = new Graph();
  const factor = mul(graph.input('up', [rows, rank]), graph.input('factor', []));
  const product = matMul(factor, graph.input('down', [rank, inputs]));
  graph.output('merged', add(graph.input('weight', [rows, inputs]), product));
  assertInPlaceSafe(graph, [{ output: 'merged', inputs: ['weight'] }]);
  return new Program(graph, { name: 'LoRA merge' });
}

function halvesSwapped(up: Float32Array): Float32Array {
  const half = up.length / 2;
  const out = new Float32Array(up.length);
  out.set(up.subarray(half));
  out.set(up.subarray(0, half), half);
  return out;
}
