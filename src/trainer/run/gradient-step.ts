/**
 * @file The gradient of a loss as a program: forward and backward in one graph.
 *
 * A batch is worked off in micro-batches whose activations fit in the processor's cache, which is
 * faster and takes a fraction of the memory; their gradients are summed in place in the learner's
 * flat gradient vector.
 */
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { bindParameters, views } from '../nn/parameters.ts';
import { Program } from '../runtime/program.ts';
import { float32, type Tensor } from '../tensor.ts';
import { zeros } from './conditions.ts';
import {
  type GradientGraphDefinition,
  gradientGraph,
  gradientInput,
  gradientOutput,
  microBatch,
  TRAINED,
} from './gradient-graph.ts';
import type { Learner } from './learner.ts';
import type { Pacer } from './pacer.ts';

export interface StepDefinition extends GradientGraphDefinition {
  readonly name: string;
  readonly learner: Learner;
  /** Networks that are read only, by prefix. */
  readonly frozen: Readonly<Record<string, Pick<Learner, 'list' | 'weights'>>>;
  readonly constants?: Readonly<Record<string, Tensor>>;
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
    const { name, network, batch, learner, frozen, constants = {} } = definition;
    this.#learner = learner;
    const { graph, parts, meters } = gradientGraph(definition, learner.list);
    this.#parts = parts;
    assertInPlaceSafe(
      graph,
      learner.list.specs.map((spec) => ({
        output: gradientOutput(spec),
        inputs: [gradientInput(spec)],
      })),
    );
    const micro = microBatch(network, batch, definition.recompute);
    for (const [feed, spec] of Object.entries(definition.feeds)) {
      this.#feeds.set(feed, zeros(spec, batch));
      this.#bound.set(feed, zeros(spec, micro));
    }
    for (const meter of meters) this.#meters.set(meter, new Float32Array(1));

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

  #load(part: number): void {
    for (const [name, { data, dtype }] of this.#bound) {
      const whole = this.#feeds.get(name)!.data;
      const rows = whole.subarray(part * data.length, (part + 1) * data.length);
      if (dtype === 'int64') (data as BigInt64Array).set(rows as BigInt64Array);
      else (data as Float32Array).set(rows as Float32Array);
    }
  }
}
