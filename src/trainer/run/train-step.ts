/** @file One update of a network as a program: forward, backward, Adam and EMA in one graph, run in place. */
import { gradients } from '../autodiff/gradients.ts';
import { filled, Graph, type Value } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { velocity } from '../nn/network.ts';
import { type ParameterList, ParameterScope } from '../nn/parameters.ts';
import { adam } from '../optim/adam.ts';
import { Program } from '../runtime/program.ts';
import { type DType, float32, type Shape, type Tensor } from '../tensor.ts';
import { bindParameters, type Learner, parameterValues } from './learner.ts';

/** A network as a function of values, its parameters held by the graph. */
export type Field = (x: Value, t: Value) => Value;

export interface FeedSpec {
  readonly shape: Shape;
  readonly dtype?: DType;
}

export interface StepDefinition {
  readonly name: string;
  readonly network: NetworkConfig;
  readonly list: ParameterList;
  readonly learner: Learner;
  /** Networks that are read only, by prefix: their flat weights. */
  readonly frozen: Readonly<Record<string, Float32Array>>;
  /** Tensors that are fed anew at every run. */
  readonly feeds: Readonly<Record<string, FeedSpec>>;
  /** Builds the loss and what else is reported; `field('trained')` is the network that learns. */
  build(
    field: (prefix: string) => Field,
    feeds: Readonly<Record<string, Value>>,
  ): { readonly loss: Value; readonly meters?: Readonly<Record<string, Value>> };
}

export const TRAINED = 'trained';

export class TrainStep {
  readonly program: Program;
  readonly #learner: Learner;
  readonly #feeds = new Map<string, Tensor>();
  readonly #meters = new Map<string, Float32Array>();

  constructor(definition: StepDefinition, profile?: string) {
    const { name, network, list, learner, frozen } = definition;
    this.#learner = learner;
    const graph = new Graph();
    const feeds: Record<string, Value> = {};
    for (const [feed, { shape, dtype = 'float32' }] of Object.entries(definition.feeds)) {
      feeds[feed] = graph.input(feed, shape, dtype);
      this.#feeds.set(feed, {
        dtype,
        shape,
        data: filled(
          dtype,
          feeds[feed].shape.reduce((a, b) => a * b, 1),
          0,
        ),
      });
    }
    const field =
      (prefix: string): Field =>
      (x, t) =>
        velocity(new ParameterScope(graph, prefix), network, x, t, feeds['labels']);
    const { loss, meters = {} } = definition.build(field, feeds);
    const parameters = parameterValues(graph, TRAINED, list);
    const norm = adam(graph, list, gradients(loss, parameters), loss, learner.options);
    for (const [meter, value] of Object.entries({ loss, norm, ...meters })) {
      graph.output(meter, value);
      this.#meters.set(meter, new Float32Array(1));
    }
    assertInPlaceSafe(graph, learner.overlaps(TRAINED));

    this.program = new Program(graph, profile ? { name, profile } : { name });
    for (const [feed, tensor] of this.#feeds) this.program.bindInput(feed, tensor);
    for (const [meter, data] of this.#meters) this.program.bindOutput(meter, float32(data, []));
    bindParameters(this.program, graph, TRAINED, list, learner.weights);
    for (const [prefix, flat] of Object.entries(frozen)) {
      bindParameters(this.program, graph, prefix, list, flat);
    }
    learner.bindUpdate(this.program);
  }

  /** The memory of a fed tensor, read at every run. */
  feed(name: string): Tensor['data'] {
    return this.#feeds.get(name)!.data;
  }

  /** Sets the scalars of the next update. */
  prepare(learningRate: number): void {
    this.#learner.prepare(learningRate);
  }

  /** Takes note of a finished run and returns its meters; the state is unchanged when one is not finite. */
  finish(): Record<string, number> {
    const meters = Object.fromEntries([...this.#meters].map(([name, data]) => [name, data[0]!]));
    if (isFiniteRun(meters)) this.#learner.updates++;
    return meters;
  }

  dispose(): void {
    this.program.dispose();
  }
}

export function isFiniteRun(meters: Readonly<Record<string, number>>): boolean {
  return Number.isFinite(meters['loss']) && Number.isFinite(meters['norm']);
}
