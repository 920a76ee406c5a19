/**
 * @file The gradient of a loss as a program: forward and backward in one graph.
 *
 * A batch is worked off in micro-batches whose activations fit in the processor's cache, which is
 * faster and takes a fraction of the memory; their gradients are summed in place in the learner's
 * flat gradient vector. A device other than the CPU has its batch in one.
 */
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { bindParameters } from '../nn/parameters.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import { engine } from '../runtime/engine.ts';
import { Program } from '../runtime/program.ts';
import { float32, type Tensor } from '../tensor.ts';
import { zeros } from './conditions.ts';
import type { PlacedNetwork } from './frozen.ts';
import {
  type GradientGraphDefinition,
  gradientGraph,
  gradientInput,
  gradientOutput,
  LOSS_SCALE,
  microBatch,
  TRAINED,
} from './gradient-graph.ts';
import type { Learner } from './learner.ts';
import type { Pacer } from './pacer.ts';

export interface StepDefinition extends GradientGraphDefinition {
  readonly name: string;
  readonly learner: Learner;
  /** Networks that are read only, by prefix. */
  readonly frozen: Readonly<Record<string, PlacedNetwork>>;
  readonly constants?: Readonly<Record<string, Tensor>>;
}

export class GradientStep {
  readonly #program: Program;
  readonly #learner: Learner;
  readonly #networks: readonly PlacedNetwork[];
  /** Whether the device has memory of its own. */
  readonly #isApart = engine().memory !== undefined;
  /** Micro-batches in a batch. */
  readonly #parts: number;
  /** Whole batches, written by the caller. */
  readonly #feeds = new Map<string, Tensor>();
  /** The part that the program reads. */
  readonly #bound = new Map<string, Tensor>();
  readonly #meters = new Map<string, Float32Array>();
  /** What the host writes before a run, and what it reads after it. */
  readonly #written: DeviceTensors;
  readonly #read: DeviceTensors;

  constructor(definition: StepDefinition) {
    const { name, network, batch, learner, frozen, constants = {} } = definition;
    this.#learner = learner;
    this.#networks = [learner, ...Object.values(frozen)];
    const micro = this.#isApart ? batch : microBatch(network, batch, definition.recompute);
    const { scale } = learner;
    const scaled = { ...definition, isScaled: scale !== undefined };
    const { graph, parts, meters } = gradientGraph(scaled, learner.list, micro);
    this.#parts = parts;
    const learned = [...learner.list.specs.entries()].filter(([, spec]) =>
      graph.outputs.has(gradientOutput(spec)),
    );
    assertInPlaceSafe(
      graph,
      learned.map(([, spec]) => ({ output: gradientOutput(spec), inputs: [gradientInput(spec)] })),
    );
    for (const [feed, spec] of Object.entries(definition.feeds)) {
      this.#feeds.set(feed, zeros(spec, batch));
      this.#bound.set(feed, zeros(spec, micro));
    }
    for (const meter of meters) this.#meters.set(meter, new Float32Array(1));

    this.#program = new Program(graph, { name, capture: true });
    const inputs: [string, Tensor][] = [...this.#bound, ...Object.entries(constants)];
    if (scale) inputs.push([LOSS_SCALE, float32(scale.value, [])]);
    this.#written = new DeviceTensors(inputs.map(([, tensor]) => tensor));
    for (const [i, [feed]] of inputs.entries()) {
      this.#program.bindInput(feed, this.#written.tensors[i]!);
    }
    this.#read = new DeviceTensors([...this.#meters.values()].map((data) => float32(data, [])));
    for (const [i, meter] of meters.entries()) {
      this.#program.bindOutput(meter, this.#read.tensors[i]!);
    }
    const { list, gradients, parameters } = learner;
    for (const [i, spec] of learned) {
      const gradient = gradients.tensors[i]!;
      if (this.#parts > 1) this.#program.bindInput(gradientInput(spec), gradient);
      this.#program.bindOutput(gradientOutput(spec), gradient);
    }
    bindParameters(this.#program, graph, TRAINED, list, parameters);
    for (const [prefix, other] of Object.entries(frozen)) {
      bindParameters(this.#program, graph, prefix, other.list, other.parameters);
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
      if (this.#isApart) for (const network of this.#networks) await network.place();
      if (this.#parts > 1) this.#learner.gradient.fill(0);
      for (let part = 0; part < this.#parts; part++) {
        this.#load(part);
        // On the CPU the program starts at once, before what works beside it.
        if (this.#isApart) await this.#written.upload();
        await pacer.run(this.#program);
        if (this.#isApart) await this.#read.download();
        for (const [name, data] of this.#meters) sums.set(name, sums.get(name)! + data[0]!);
      }
    };
    await Promise.all([parts(), meanwhile()]);
    return Object.fromEntries([...sums].map(([name, sum]) => [name, sum / this.#parts]));
  }

  dispose(): void {
    this.#program.dispose();
    this.#written[Symbol.dispose]();
    this.#read[Symbol.dispose]();
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
