/** @file Samples of a flow: one to four steps of a student, or Euler and Heun along a teacher's velocity from t = 1 to 0. */
import { FlowstepError } from '../../errors.ts';
import { type Guidance, guidedVelocity } from '../flow/guidance.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { add, expand, mul, sub } from '../graph/ops.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { LoraScope, loraParameterList } from '../nn/lora.ts';
import { cachedBatch, parameterList, velocity } from '../nn/network.ts';
import { bindParameters, type ParameterList, ParameterScope } from '../nn/parameters.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import { engine } from '../runtime/engine.ts';
import { Program } from '../runtime/program.ts';
import { whole } from '../runtime/whole.ts';
import { float32, sizeOf, type Tensor } from '../tensor.ts';
import { ConditionInputs, type ConditionRows } from './conditions.ts';
import { FrozenNetwork, type PlacedNetwork } from './frozen.ts';
import type { FlowModel, StudentSettings } from './model.ts';
import { Pacer } from './pacer.ts';
import {
  checkRequest,
  evenStrides,
  type SampleRequest,
  type Solver,
  type Stride,
  studentStrides,
} from './sample-request.ts';

/** Samples [count, ...sample]. Throws for a one-step request on a model that is no student, wrong shapes and labels. */
export async function sample(
  model: FlowModel,
  request: SampleRequest,
  signal?: AbortSignal,
  onStep?: OnStep,
): Promise<Tensor<'float32'>> {
  const sampler = samplerFor(model, request, checkRequest(model, request));
  try {
    return await sampler.run(request, signal, onStep);
  } finally {
    sampler.dispose();
  }
}

/** A sampler for requests like this one, which ask for at most `count` samples. */
export function samplerFor(model: FlowModel, request: SampleRequest, count: number): Sampler {
  const { solver, text, guidance } = request;
  const tokens = (rows: ConditionRows | undefined) => rows?.text?.context.shape[1] ?? 0;
  const form = {
    tokens: tokens({ text }),
    ...(guidance && {
      guidance: {
        scale: guidance.scale,
        latest: guidance.latest,
        tokens: tokens(guidance.negative) || tokens({ text }),
      },
    }),
  };
  return whole(() => new Sampler(model, solver, count, form));
}

/** Is told after each step of each batch how many are done, of how many. */
export type OnStep = (step: number, steps: number) => void;

/** What a sampler's programs are made for, besides model and number of samples. */
export interface SamplerForm {
  /** Length of the texts, for networks that take text. */
  readonly tokens?: number;
  /** Guidance, with the length of the negative texts. */
  readonly guidance?: Guidance & { readonly tokens?: number };
}

/** Batches as fit the processor's cache that another device has in one. */
const DEVICE_BATCHES = 8;

/** Names of the inputs of what guidance leads away from begin with this. */
const NEGATIVE = 'negative/';

/** How many samples are best worked off at once where the engine computes. */
export function sampledBatch(network: NetworkConfig): number {
  return cachedBatch(network) * (engine().memory === undefined ? 1 : DEVICE_BATCHES);
}

/** A solver as a program over a batch of at most `count` samples; it can run many times. */
export class Sampler {
  readonly #network: NetworkConfig;
  readonly #student: StudentSettings | undefined;
  readonly #batch: number;
  /** Noise before a run, samples after it: the program writes in place. */
  readonly #x: Float32Array;
  readonly #condition: ConditionInputs;
  readonly #negative: ConditionInputs | undefined;
  readonly #guidance: Guidance;
  readonly #t = new Float32Array(1);
  readonly #dt = new Float32Array(1);
  /** Whether the device has memory of its own. */
  readonly #isApart = engine().memory !== undefined;
  /** x, and the times of a stride, where the device computes. */
  readonly #points: DeviceTensors;
  readonly #times: DeviceTensors;
  /** Weights, and adapters; those that the sampler placed itself. */
  readonly #networks: readonly PlacedNetwork[];
  readonly #own: readonly FrozenNetwork[];
  readonly #pacer = new Pacer();
  readonly #program: Program;
  readonly #isOneStep: boolean;
  /** Heun ends with an Euler step, since the velocity at t = 0 is outside of what was trained. */
  readonly #last: Program | undefined;
  /** For times that all lie after the latest with guidance: half of the arithmetic. */
  readonly #unguided: Program | undefined;

  /** `trained` is a network of the model's that has its weights on the device already. */
  constructor(
    model: FlowModel,
    solver: Solver,
    count: number,
    form: SamplerForm = {},
    trained?: PlacedNetwork,
  ) {
    const { network, student } = model.info;
    const { adapters } = model;
    this.#network = network;
    this.#student = student;
    this.#batch = Math.min(count, sampledBatch(network));
    const shape = [this.#batch, ...sampleShape(network)];
    this.#x = new Float32Array(sizeOf(shape));
    this.#points = new DeviceTensors([float32(this.#x, shape)]);
    this.#times = new DeviceTensors([float32(this.#t, []), float32(this.#dt, [])]);
    const own: FrozenNetwork[] = [];
    const placed = (list: ParameterList, weights: Float32Array) => {
      own.push(new FrozenNetwork(list, weights));
      return own.at(-1)!;
    };
    const learned = adapters && loraParameterList(network, adapters.config);
    this.#networks = learned
      ? [
          placed(parameterList(network), model.parameters),
          trained ?? placed(learned, adapters.parameters),
        ]
      : [trained ?? placed(parameterList(network), model.parameters)];
    this.#own = own;
    const { tokens = 0, guidance } = form;
    this.#guidance = guidance ?? { scale: 1 };
    this.#condition = new ConditionInputs(network, tokens, this.#batch);
    this.#negative =
      this.#guidance.scale === 1
        ? undefined
        : new ConditionInputs(network, guidance?.tokens ?? tokens, this.#batch, NEGATIVE);
    // A student of one step has a time and a factor of its own, which are constants of its program.
    this.#isOneStep = solver === 'one-step' && student?.grid.length === 1;
    const stepper = solver === 'one-step' && !this.#isOneStep ? 'euler' : solver;
    this.#program = this.#compile(model, stepper);
    this.#last = stepper === 'heun' ? this.#compile(model, 'euler') : undefined;
    const isPartly = this.#negative && this.#guidance.latest !== undefined && !this.#isOneStep;
    this.#unguided = isPartly ? this.#compile(model, stepper, false) : undefined;
  }

  /** To be called when the model's weights have changed: elsewhere than on the CPU they are brought to the device once. */
  changed(): void {
    for (const network of this.#own) network.changed();
  }

  /** Samples from the request's noise. Throws INTERRUPTED when the signal is aborted. */
  async run(
    request: SampleRequest,
    signal?: AbortSignal,
    onStep?: OnStep,
  ): Promise<Tensor<'float32'>> {
    const { noise } = request;
    const out = noise.data.slice();
    await this.integrate(out, this.#strides(request, out), request, signal, onStep);
    return float32(out, noise.shape);
  }

  /** Carries x [count, ...sample] along the strides, in place. Throws INTERRUPTED when the signal is aborted. */
  async integrate(
    x: Float32Array,
    strides: readonly Stride[],
    condition: Pick<SampleRequest, 'labels' | 'text' | 'guidance'>,
    signal?: AbortSignal,
    onStep?: OnStep,
  ): Promise<void> {
    const size = sizeOf(sampleShape(this.#network));
    const count = x.length / size;
    const steps = Math.ceil(count / this.#batch) * strides.length;
    let done = 0;
    if (this.#isApart) await this.#place();
    for (let start = 0; start < count; start += this.#batch) {
      const [from, to] = [start * size, (start + this.#batch) * size];
      const range = x.subarray(from, to);
      // A last batch that is not full keeps rows of the one before, which nobody reads.
      this.#x.set(range);
      this.#condition.load(condition, start);
      this.#negative?.load(condition.guidance?.negative ?? {}, start);
      if (this.#isApart) {
        await this.#points.upload();
        await this.#condition.upload();
        await this.#negative?.upload();
      }
      for (const [k, stride] of strides.entries()) {
        if (signal?.aborted) throw new FlowstepError('INTERRUPTED', 'sampling was stopped');
        await this.#stride(stride, k === strides.length - 1);
        onStep?.(++done, steps);
        if (stride.fresh) {
          if (this.#isApart) await this.#points.download();
          addNoise(this.#x, stride.fresh.to, stride.fresh.noise.subarray(from, to));
          if (this.#isApart) await this.#points.upload();
        }
      }
      if (this.#isApart) await this.#points.download();
      range.set(this.#x.subarray(0, range.length));
    }
  }

  dispose(): void {
    this.#program.dispose();
    this.#last?.dispose();
    this.#unguided?.dispose();
    this.#condition.dispose();
    this.#negative?.dispose();
    for (const memory of [this.#points, this.#times, ...this.#own]) memory[Symbol.dispose]();
  }

  /** What is done once on a device with memory of its own. */
  async #place(): Promise<void> {
    for (const network of this.#networks) await network.place();
    // Recording runs the programs, on what the device happens to hold.
    await this.#program.warmUp();
    await this.#last?.warmUp();
    await this.#unguided?.warmUp();
  }

  async #stride({ t, dt }: Stride, isLast: boolean): Promise<void> {
    this.#t[0] = t;
    this.#dt[0] = dt;
    if (this.#isApart) await this.#times.upload();
    await this.#pacer.run(this.#programFor(t, dt, isLast));
  }

  #programFor(t: number, dt: number, isLast: boolean): Program {
    if (isLast && this.#last) return this.#last;
    // Heun evaluates at both ends of the step.
    const earliest = this.#last ? t - dt : t;
    const { latest = 1 } = this.#guidance;
    return this.#unguided && earliest > latest ? this.#unguided : this.#program;
  }

  /** The steps that a request asks for; scales the noise `x` as a student of several steps wants it. */
  #strides({ solver, steps, freshNoise }: SampleRequest, x: Float32Array): Stride[] {
    const student = this.#student;
    if (solver !== 'one-step' || !student) return evenStrides(steps!);
    if (this.#isOneStep) return evenStrides(1);
    const { grid, cIn, transition } = student;
    for (let i = 0; i < x.length; i++) x[i]! *= cIn;
    return studentStrides(
      grid.slice(0, steps ?? grid.length),
      0,
      transition,
      freshNoise?.map((tensor) => tensor.data),
    );
  }

  #compile(model: FlowModel, solver: Solver, isGuided = true): Program {
    const { network, student } = model.info;
    const batch = this.#batch;
    const graph = new Graph();
    const shape = [batch, ...sampleShape(network)];
    const x = graph.input('x', shape);
    const own = new ParameterScope(graph, 'network');
    const { adapters } = model;
    const scope = adapters
      ? new LoraScope(own, new ParameterScope(graph, 'adapters'), adapters.config)
      : own;
    const condition = this.#condition.declare(graph);
    const negative = isGuided ? this.#negative?.declare(graph) : undefined;
    const field = (at: Value, t: Value) => {
      const times = expand(t, [batch]);
      const v = velocity(scope, network, at, times, condition);
      if (!negative) return v;
      return guidedVelocity(v, velocity(scope, network, at, times, negative), t, this.#guidance);
    };
    if (solver === 'one-step') {
      const { tStar, cIn } = student!;
      const t = graph.scalar(tStar, 'float32');
      graph.output(
        'samples',
        oneStepStudent(x, tStar, cIn, (z) => field(z, t)),
      );
    } else {
      graph.output('samples', step(graph, x, field, solver));
    }
    assertInPlaceSafe(graph, [{ output: 'samples', inputs: ['x'] }]);
    const program = new Program(graph, { name: `${solver} sampler`, capture: true });
    const [points] = this.#points.tensors;
    program.bindInput('x', points!);
    program.bindOutput('samples', points!);
    this.#condition.bind(program);
    if (isGuided) this.#negative?.bind(program);
    if (solver !== 'one-step') {
      const [time, stride] = this.#times.tensors;
      program.bindInput('t', time!);
      program.bindInput('dt', stride!);
    }
    for (const [i, prefix] of ['network', 'adapters'].entries()) {
      const placed = this.#networks[i];
      if (placed) bindParameters(program, graph, prefix, placed.list, placed.parameters);
    }
    return program;
  }
}

/** x0 becomes (1 - t) x0 + t noise. */
function addNoise(x: Float32Array, t: number, noise: Float32Array): void {
  for (let i = 0; i < noise.length; i++) x[i] = (1 - t) * x[i]! + t * noise[i]!;
}

/** One step from t to t - dt of dx/dt = v(x, t): Euler, or Heun's (two evaluations, second order). */
function step(
  graph: Graph,
  x: Value,
  field: (x: Value, t: Value) => Value,
  solver: 'euler' | 'heun',
): Value {
  const t = graph.input('t', []);
  const dt = graph.input('dt', []);
  const v = field(x, t);
  const euler = sub(x, mul(v, dt));
  if (solver === 'euler') return euler;
  const ahead = field(euler, sub(t, dt));
  return sub(x, mul(add(v, ahead), mul(dt, 0.5)));
}
