/** @file A network that is being trained: its flat vectors, and the program that updates them in place. */
import type { ParameterList } from '../nn/parameters.ts';
import {
  type AdamOptions,
  adamGraph,
  adamScalars,
  chunkInput,
  chunkOutput,
  chunksOf,
  EMA_INPUT,
  EPSILON_INPUT,
  NORM_OUTPUT,
  RATE_INPUT,
  type StateName,
  stateNames,
} from '../optim/adam.ts';
import { Program } from '../runtime/program.ts';
import { float32 } from '../tensor.ts';
import type { Pacer } from './pacer.ts';

export interface LearnerOptions extends AdamOptions {
  /** Decay of the moving average; the first updates use k / (9 + k) when that is less. */
  readonly emaDecay: number;
}

export class Learner {
  readonly list: ParameterList;
  readonly options: LearnerOptions;
  /** Flat float32 vectors; the update writes them in place. */
  readonly state: ReadonlyMap<StateName, Float32Array>;
  /** Where programs leave the gradient of the loss. */
  readonly gradient: Float32Array;
  /** Updates done; set when a run goes on. */
  updates = 0;
  readonly #program: Program;
  readonly #rate = new Float32Array(1);
  readonly #epsilon = new Float32Array(1);
  readonly #ema = new Float32Array(1);
  readonly #norm = new Float32Array(1);

  /** `weights` becomes the learner's own memory; learners that take turns may share the memory of their gradients. */
  constructor(
    name: string,
    list: ParameterList,
    weights: Float32Array,
    options: LearnerOptions,
    gradient = new Float32Array(list.size),
  ) {
    this.list = list;
    this.options = options;
    this.state = new Map(
      stateNames(options).map((part) => [
        part,
        part === 'weights' ? weights : new Float32Array(list.size),
      ]),
    );
    this.state.get('ema')?.set(weights);
    this.gradient = gradient;
    this.#program = new Program(adamGraph(list.size, options), { name: `${name} update` });
    this.#bind();
  }

  get weights(): Float32Array {
    return this.state.get('weights')!;
  }

  /** The moving average where there is one, else the weights. */
  get averaged(): Float32Array {
    return this.state.get('ema') ?? this.weights;
  }

  /** One update with `gradient`, that of `loss`; returns its norm. When either is not finite nothing changes and the norm is not finite. */
  async update(loss: number, learningRate: number, pacer: Pacer): Promise<number> {
    if (!Number.isFinite(loss)) return Number.NaN;
    const k = this.updates + 1;
    const { rate, epsilon } = adamScalars(this.options, k, learningRate);
    this.#rate[0] = rate;
    this.#epsilon[0] = epsilon;
    this.#ema[0] = 1 - Math.min(this.options.emaDecay, k / (9 + k));
    await pacer.run(this.#program);
    const norm = this.#norm[0]!;
    if (Number.isFinite(norm)) this.updates = k;
    return norm;
  }

  dispose(): void {
    this.#program.dispose();
  }

  #bind(): void {
    const program = this.#program;
    program.bindInput(RATE_INPUT, float32(this.#rate, []));
    program.bindInput(EPSILON_INPUT, float32(this.#epsilon, []));
    if (this.options.ema) program.bindInput(EMA_INPUT, float32(this.#ema, []));
    program.bindOutput(NORM_OUTPUT, float32(this.#norm, []));
    for (const [i, { start, end }] of chunksOf(this.list.size).entries()) {
      const part = (vector: Float32Array) => float32(vector.subarray(start, end), [end - start]);
      program.bindInput(chunkInput('gradient', i), part(this.gradient));
      for (const [name, vector] of this.state) {
        program.bindInput(chunkInput(name, i), part(vector));
        program.bindOutput(chunkOutput(name, i), part(vector));
      }
    }
  }
}

/** The vectors of several learners under `learner/vector`. */
export function stateOf(
  learners: Readonly<Record<string, Learner>>,
): ReadonlyMap<string, Float32Array> {
  return new Map(
    Object.entries(learners).flatMap(([name, { state }]) =>
      [...state].map(([part, vector]) => [`${name}/${part}`, vector] as const),
    ),
  );
}
