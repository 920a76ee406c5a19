/**
 * @file The gradient of a loss as a program: forward and backward in one graph.
 *
 * A batch is worked off in micro-batches whose activations fit in the processor's cache, which is
 * faster and takes a fraction of the memory; their gradients are summed in place in the learner's
 * flat gradient vector.
 */
import { gradients } from '../autodiff/gradients.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { add, mul } from '../graph/ops.ts';
import type { NetworkConfig } from '../nn/config.ts';
import { features } from '../nn/features.ts';
import { type LoraConfig, LoraScope } from '../nn/lora.ts';
import { type Condition, cachedBatch, velocity } from '../nn/network.ts';
import {
  bindParameters,
  ParameterScope,
  type ParameterSpec,
  type Scope,
  views,
} from '../nn/parameters.ts';
import { Program } from '../runtime/program.ts';
import { float32, type Tensor } from '../tensor.ts';
import { conditionIn, type FeedSpec, zeros } from './conditions.ts';
import type { Learner } from './learner.ts';
import type { Pacer } from './pacer.ts';

/** A function of points x [B, ...sample] and times t [B]; the condition is the fed one unless another is given. */
export type Velocity = (x: Value, t: Value, condition?: Condition) => Value;

/** A network as its velocity, its parameters held by the graph. */
export interface Field extends Velocity {
  /** What it has seen at its middle, [B, C]. */
  readonly features: Velocity;
  /** Where what it trains comes from: its parameters, or its adapters. */
  readonly scope: Scope;
}

export interface BuiltLoss {
  readonly loss: Value;
  readonly meters?: Readonly<Record<string, Value>>;
  /** Values that the gradient takes as constants. */
  readonly held?: readonly Value[];
}

export interface StepDefinition {
  readonly name: string;
  readonly network: NetworkConfig;
  readonly batch: number;
  readonly learner: Learner;
  /** Networks that are read only, by prefix. */
  readonly frozen: Readonly<Record<string, Pick<Learner, 'list' | 'weights'>>>;
  /** Networks, by prefix, that are adapters on the frozen network BASE: their vectors are those of the adapters. */
  readonly adapters?: Readonly<Record<string, LoraConfig | undefined>>;
  /** Tensors that are fed anew at every step. */
  readonly feeds: Readonly<Record<string, FeedSpec>>;
  /** Tensors that stay; they are among the feeds that `build` gets. */
  readonly constants?: Readonly<Record<string, Tensor>>;
  /** Builds the loss, a mean over samples, and what else is reported; `field(TRAINED)` is the network that learns. */
  build(field: (prefix: string) => Field, feeds: Readonly<Record<string, Value>>): BuiltLoss;
}

export const TRAINED = 'trained';

/** The frozen network that adapters change. */
export const BASE = 'teacher';

const gradientInput = ({ name }: ParameterSpec) => `gradient/${name}`;
const gradientOutput = ({ name }: ParameterSpec) => `gradient/${name}'`;

/** The largest divisor of `batch` that is not above `most`. */
export function largestDivisor(batch: number, most: number): number {
  for (let size = Math.min(batch, most); size > 1; size--) if (batch % size === 0) return size;
  return 1;
}

export class GradientStep {
  readonly #program: Program;
  readonly #learner: Learner;
  /** Micro-batches in a batch. */
  readonly #parts: number;
  /** Whole batches, written by the caller. */
  readonly #feeds = new Map<string, Tensor>();
  /** The part that the program reads. */
  readonly #bound = new Map<string, Tensor>();
  readonly #meters = new Map<string, Float32Array>();

  constructor(definition: StepDefinition) {
    const { name, network, batch, learner, frozen, adapters = {}, constants = {} } = definition;
    this.#learner = learner;
    const micro = largestDivisor(batch, cachedBatch(network));
    this.#parts = batch / micro;

    const graph = new Graph();
    const feeds: Record<string, Value> = {};
    for (const [feed, spec] of Object.entries(definition.feeds)) {
      const bound = zeros(spec, micro);
      feeds[feed] = graph.input(feed, bound.shape, bound.dtype);
      this.#feeds.set(feed, zeros(spec, batch));
      this.#bound.set(feed, bound);
    }
    for (const [constant, { shape, dtype }] of Object.entries(constants)) {
      feeds[constant] = graph.input(constant, shape, dtype);
    }
    const condition = conditionIn(feeds, micro);
    const field = (prefix: string): Field => {
      const own = new ParameterScope(graph, prefix);
      const lora = adapters[prefix];
      const scope = lora ? new LoraScope(new ParameterScope(graph, BASE), own, lora) : own;
      const call: Velocity = (x, t, other = condition) => velocity(scope, network, x, t, other);
      const seen: Velocity = (x, t, other = condition) => features(scope, network, x, t, other);
      return Object.assign(call, { features: seen, scope: own });
    };
    const { loss, meters = {}, held = [] } = definition.build(field, feeds);
    for (const [meter, value] of Object.entries({ loss, ...meters })) {
      graph.output(meter, value);
      this.#meters.set(meter, new Float32Array(1));
    }
    this.#outputGradients(graph, loss, held);

    this.#program = new Program(graph, { name });
    for (const [feed, tensor] of [...this.#bound, ...Object.entries(constants)]) {
      this.#program.bindInput(feed, tensor);
    }
    for (const [meter, data] of this.#meters) this.#program.bindOutput(meter, float32(data, []));
    const { list, gradient, weights } = learner;
    const gradientViews = views(list, gradient);
    for (const spec of list.specs) {
      const view = gradientViews.get(spec.name)!;
      if (this.#parts > 1) this.#program.bindInput(gradientInput(spec), view);
      this.#program.bindOutput(gradientOutput(spec), view);
    }
    bindParameters(this.#program, graph, TRAINED, list, weights);
    for (const [prefix, other] of Object.entries(frozen)) {
      bindParameters(this.#program, graph, prefix, other.list, other.weights);
    }
  }

  /** The memory of a fed tensor [batch, ...shape]; written before `run`. */
  feed(name: string): Tensor['data'] {
    return this.#feeds.get(name)!.data;
  }

  /** Leaves the gradient in the learner and returns the meters, means over the batch. `meanwhile` works beside it. */
  async run(pacer: Pacer, meanwhile: () => Promise<void>): Promise<Record<string, number>> {
    const sums = new Map([...this.#meters.keys()].map((name) => [name, 0]));
    const parts = async () => {
      if (this.#parts > 1) this.#learner.gradient.fill(0);
      for (let part = 0; part < this.#parts; part++) {
        this.#load(part);
        await pacer.run(this.#program);
        for (const [name, data] of this.#meters) sums.set(name, sums.get(name)! + data[0]!);
      }
    };
    await Promise.all([parts(), meanwhile()]);
    return Object.fromEntries([...sums].map(([name, sum]) => [name, sum / this.#parts]));
  }

  dispose(): void {
    this.#program.dispose();
  }

  #outputGradients(graph: Graph, loss: Value, held: readonly Value[]): void {
    const { specs } = this.#learner.list;
    const parameters = specs.map((spec) => graph.inputs.get(`${TRAINED}/${spec.name}`)!);
    const fixed = parameters.filter((_, i) => specs[i]!.init.kind === 'fixed');
    const mean = this.#parts === 1 ? loss : mul(loss, 1 / this.#parts);
    for (const [i, gradient] of gradients(mean, parameters, [...held, ...fixed]).entries()) {
      const spec = specs[i]!;
      const sum =
        this.#parts === 1 ? gradient : add(graph.input(gradientInput(spec), spec.shape), gradient);
      graph.output(gradientOutput(spec), sum);
    }
    assertInPlaceSafe(
      graph,
      specs.map((spec) => ({ output: gradientOutput(spec), inputs: [gradientInput(spec)] })),
    );
  }

  #load(part: number): void {
    for (const [name, { data, dtype }] of this.#bound) {
      const whole = this.#feeds.get(name)!.data;
      const rows = whole.subarray(part * data.length, (part + 1) * data.length);
      if (dtype === 'int64') (data as BigInt64Array).set(rows as BigInt64Array);
      else (data as Float32Array).set(rows as Float32Array);
    }
  }
}
