/** @file A network that is being trained: its flat vectors, and the program that updates them in place. */
import { type ParameterList, parametersOnDevice } from '../nn/parameters.ts';
import {
  type AdamOptions,
  adamGraph,
  adamScalars,
  type Chunk,
  chunkInput,
  chunkOutput,
  chunksOf,
  chunksOfPieces,
  DEVICE_CHUNK_ELEMENTS,
  EMA_INPUT,
  EPSILON_INPUT,
  NORM_OUTPUT,
  pieceInput,
  pieceOutput,
  RATE_INPUT,
  type StateName,
  stateNames,
} from '../optim/adam.ts';
import { LOSS_SCALE_STATE, LossScale, SKIPPED_STATE } from '../optim/loss-scale.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import { engine } from '../runtime/engine.ts';
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
  /** Flat float32 vectors, written by the update; on a device other than the CPU only as of the last `download`. */
  readonly state: ReadonlyMap<StateName, Float32Array>;
  /** Where programs leave the gradient of the loss; on a device other than the CPU it stays there. */
  readonly gradient: Float32Array;
  /** Parameters, and gradients, where the device computes: in the order of the list. */
  readonly parameters: DeviceTensors;
  readonly gradients: DeviceTensors;
  /** Updates done, and skipped. */
  updates = 0;
  /** How many of them were skipped, one number: few enough for a float32, as the scale grows slowly. */
  readonly skipped = new Float32Array(1);
  /** Where gradients are computed in float16. */
  readonly scale: LossScale | undefined;
  /** Whether the device has memory of its own. */
  readonly #isApart = engine().memory !== undefined;
  readonly #chunks: readonly Chunk[];
  /** The vectors of the state, but for weights where the device has memory of its own. */
  readonly #vectors: ReadonlyMap<StateName, DeviceTensors>;
  readonly #program: Program;
  readonly #rate = new Float32Array(1);
  readonly #epsilon = new Float32Array(1);
  readonly #ema = new Float32Array(1);
  readonly #norm = new Float32Array(1);
  readonly #scalars: DeviceTensors;
  readonly #results: DeviceTensors;
  /** Whether the device holds what `state` holds, or what came of it. */
  #isPlaced = false;

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
    this.scale = engine().precision === 'float16' ? new LossScale() : undefined;
    this.gradient = gradient;
    this.parameters = parametersOnDevice(list, weights);
    this.gradients = parametersOnDevice(list, gradient);
    const { vector } = this.parameters;
    this.#chunks = chunksOn(list, vector?.length, this.#isApart);
    const vectors = [...this.state].filter(([part]) => !(this.#isApart && part === 'weights'));
    const placed = (of: Float32Array) =>
      vector ? parametersOnDevice(list, of) : this.#inChunks(of);
    this.#vectors = new Map(vectors.map(([part, of]) => [part, placed(of)]));
    this.#scalars = new DeviceTensors(
      [this.#rate, this.#epsilon, this.#ema].map((scalar) => float32(scalar, [])),
    );
    this.#results = new DeviceTensors([float32(this.#norm, [])]);
    const graph = adamGraph(list.size, options, 'float32', this.#chunks);
    this.#program = new Program(graph, { name: `${name} update`, capture: true });
    this.#bind();
  }

  get weights(): Float32Array {
    return this.state.get('weights')!;
  }

  /** The moving average where there is one, else the weights. */
  get averaged(): Float32Array {
    return this.state.get('ema') ?? this.weights;
  }

  /**
   * One update with `gradient`, that of `loss`; returns its norm. When either is not finite nothing changes and the norm is
   * not finite, or 0 where it is skipped and the next one is computed with a smaller scale.
   */
  async update(loss: number, learningRate: number, pacer: Pacer): Promise<number> {
    if (!Number.isFinite(loss)) return Number.NaN;
    // Where PyTorch's GradScaler skips, it does not call the optimiser: moments and their corrections stay in step.
    const k = this.updates - this.skipped[0]! + 1;
    const { rate, epsilon } = adamScalars(this.options, k, learningRate);
    this.#rate[0] = rate;
    this.#epsilon[0] = epsilon;
    this.#ema[0] = 1 - Math.min(this.options.emaDecay, k / (9 + k));
    if (this.#isApart) await this.#scalars.upload();
    await pacer.run(this.#program);
    if (this.#isApart) await this.#results.download();
    const norm = this.#norm[0]!;
    const isGood = Number.isFinite(norm);
    const isSkipped = !isGood && (this.scale?.lower() ?? false);
    if (isGood) this.scale?.keep();
    if (isSkipped) this.skipped[0]!++;
    if (isGood || isSkipped) this.updates++;
    return isSkipped ? 0 : norm;
  }

  /** Brings `state` to the device unless it is there; before anything runs that reads the parameters. */
  async place(): Promise<void> {
    if (this.#isPlaced) return;
    // Recording runs the update, on what the device happens to hold.
    await this.#program.warmUp();
    await this.parameters.upload();
    // What no program writes - gradients of fixed parameters, room between parts - counts in the norm.
    await this.gradients.upload();
    for (const vector of this.#vectors.values()) await vector.upload();
    this.#isPlaced = true;
  }

  /** Brings a vector, or all of them, from the device to `state`. */
  async download(only?: StateName): Promise<void> {
    if (!this.#isPlaced) return;
    for (const [name, vector] of this.#vectors) {
      if (only === undefined || name === only) await vector.download();
    }
    if (this.#isApart && (only ?? 'weights') === 'weights') await this.parameters.download();
  }

  /** Goes on as if `updates` updates, skipped ones among them, had led to what is in `state` and `skipped` now. */
  resumeAt(updates: number): void {
    this.updates = updates;
    this.#isPlaced = false;
  }

  dispose(): void {
    this.#program.dispose();
    const { parameters, gradients } = this;
    const all = [parameters, gradients, ...this.#vectors.values(), this.#scalars, this.#results];
    for (const tensors of all) tensors[Symbol.dispose]();
  }

  #inChunks(vector: Float32Array): DeviceTensors {
    return new DeviceTensors(
      this.#chunks.map(({ start, end }) => float32(vector.subarray(start, end), [end - start])),
    );
  }

  #bind(): void {
    const program = this.#program;
    const [rate, epsilon, ema] = this.#scalars.tensors;
    program.bindInput(RATE_INPUT, rate!);
    program.bindInput(EPSILON_INPUT, epsilon!);
    if (this.options.ema) program.bindInput(EMA_INPUT, ema!);
    program.bindOutput(NORM_OUTPUT, this.#results.tensors[0]!);
    if (this.parameters.vector) this.#bindParts();
    else this.#bindChunks();
  }

  /** Where all vectors are cut into the same chunks. */
  #bindParts(): void {
    const state = [...this.#vectors, ['weights', this.parameters] as const];
    for (const [i, { start, end }] of this.#chunks.entries()) {
      const part = ({ vector }: DeviceTensors) => vector!.part(start, end);
      this.#program.bindInput(chunkInput('gradient', i), part(this.gradients));
      for (const [name, tensors] of state) {
        const chunk = part(tensors);
        this.#program.bindInput(chunkInput(name, i), chunk);
        this.#program.bindOutput(chunkOutput(name, i), chunk);
      }
    }
  }

  /** Where they are tensors of their own; on a device weights and gradients are in pieces. */
  #bindChunks(): void {
    const program = this.#program;
    const flat = this.#isApart ? undefined : this.#inChunks(this.gradient);
    let spec = 0;
    for (const [i, { pieces = [] }] of this.#chunks.entries()) {
      if (flat) program.bindInput(chunkInput('gradient', i), flat.tensors[i]!);
      for (const k of pieces.keys()) {
        program.bindInput(pieceInput('gradient', i, k), this.gradients.tensors[spec]!);
        program.bindInput(pieceInput('weights', i, k), this.parameters.tensors[spec]!);
        program.bindOutput(pieceOutput(i, k), this.parameters.tensors[spec]!);
        spec++;
      }
      for (const [name, { tensors }] of this.#vectors) {
        program.bindInput(chunkInput(name, i), tensors[i]!);
        program.bindOutput(chunkOutput(name, i), tensors[i]!);
      }
    }
  }
}

/** How the update cuts vectors: `length` is theirs on a device where parameters lie in one. */
function chunksOn({ specs, size }: ParameterList, length: number | undefined, isApart: boolean) {
  if (length !== undefined) return chunksOf(length, DEVICE_CHUNK_ELEMENTS);
  return isApart ? chunksOfPieces(specs.map(({ shape }) => shape)) : chunksOf(size);
}

/** The vectors of several learners under `learner/vector`, what they have skipped, and their scales. */
export function stateOf(
  learners: Readonly<Record<string, Learner>>,
): ReadonlyMap<string, Float32Array> {
  const vectors = new Map<string, Float32Array>();
  for (const [name, { state, skipped, scale }] of Object.entries(learners)) {
    for (const [part, vector] of state) vectors.set(`${name}/${part}`, vector);
    vectors.set(`${name}/${SKIPPED_STATE}`, skipped);
    if (scale) vectors.set(`${name}/${LOSS_SCALE_STATE}`, scale.state);
  }
  return vectors;
}
