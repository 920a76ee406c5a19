/** @file A network that is being trained: its flat state vectors and its place in the memory of programs. */
import type { Graph, Value } from '../graph/graph.ts';
import type { Overlap } from '../graph/in-place.ts';
import { type ParameterList, views } from '../nn/parameters.ts';
import {
  type AdamOptions,
  adamScalars,
  chunksOf,
  EMA_INPUT,
  EPSILON_INPUT,
  RATE_INPUT,
  type StateName,
  stateInput,
  stateNames,
  stateOutput,
} from '../optim/adam.ts';
import type { Program } from '../runtime/program.ts';
import { float32 } from '../tensor.ts';

export interface LearnerOptions extends AdamOptions {
  /** Decay of the moving average; the first updates use (1 + k) / (10 + k) when that is less. */
  readonly emaDecay: number;
}

export class Learner {
  readonly list: ParameterList;
  readonly options: LearnerOptions;
  /** Flat float32 vectors; programs update them in place. */
  readonly state = new Map<StateName, Float32Array>();
  /** Updates done. */
  updates = 0;
  readonly #rate = new Float32Array(1);
  readonly #epsilon = new Float32Array(1);
  readonly #ema = new Float32Array(1);

  /** `weights` becomes the learner's own memory. */
  constructor(list: ParameterList, weights: Float32Array, options: LearnerOptions) {
    this.list = list;
    this.options = options;
    for (const name of stateNames(options)) {
      this.state.set(name, name === 'weights' ? weights : new Float32Array(list.size));
    }
    this.state.get('ema')?.set(weights);
  }

  get weights(): Float32Array {
    return this.state.get('weights')!;
  }

  /** The moving average where there is one, else the weights. */
  get averaged(): Float32Array {
    return this.state.get('ema') ?? this.weights;
  }

  /** Sets the scalars of the next update. */
  prepare(learningRate: number): void {
    const k = this.updates + 1;
    const { rate, epsilon } = adamScalars(this.options, k, learningRate);
    this.#rate[0] = rate;
    this.#epsilon[0] = epsilon;
    this.#ema[0] = 1 - Math.min(this.options.emaDecay, k / (9 + k));
  }

  /** Binds scalars and state of a program that holds this learner's update; parameters are inputs `prefix/...`. */
  bindUpdate(program: Program): void {
    program.bindInput(RATE_INPUT, float32(this.#rate, []));
    program.bindInput(EPSILON_INPUT, float32(this.#epsilon, []));
    if (this.options.ema) program.bindInput(EMA_INPUT, float32(this.#ema, []));
    for (const [i, { start, end }] of chunksOf(this.list).entries()) {
      for (const [name, vector] of this.state) {
        const part = float32(vector.subarray(start, end), [end - start]);
        program.bindInput(stateInput(name, i), part);
        program.bindOutput(stateOutput(name, i), part);
      }
    }
  }

  /** Which outputs of the update lie over which inputs. */
  overlaps(prefix: string): Overlap[] {
    return chunksOf(this.list).flatMap(({ from, to }, i) =>
      [...this.state.keys()].map((name) => ({
        output: stateOutput(name, i),
        inputs: [
          stateInput(name, i),
          ...(name === 'weights'
            ? this.list.specs.slice(from, to).map((spec) => `${prefix}/${spec.name}`)
            : []),
        ],
      })),
    );
  }
}

/** Binds a flat vector's parameters to the inputs `prefix/...` of a program. */
export function bindParameters(
  program: Program,
  graph: Graph,
  prefix: string,
  list: ParameterList,
  flat: Float32Array,
): void {
  for (const [name, tensor] of views(list, flat)) {
    const input = `${prefix}/${name}`;
    if (graph.inputs.has(input)) program.bindInput(input, tensor);
  }
}

/** The parameters that a graph declares under `prefix`, in the list's order. */
export function parameterValues(graph: Graph, prefix: string, list: ParameterList): Value[] {
  return list.specs.map((spec) => graph.inputs.get(`${prefix}/${spec.name}`)!);
}
