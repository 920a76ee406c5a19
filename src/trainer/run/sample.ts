/** @file Samples of a flow: one to four steps of a student, or Euler and Heun along a teacher's velocity from t = 1 to 0. */
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { add, expand, mul, sub } from '../graph/ops.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { cachedBatch, parameterList, velocity } from '../nn/network.ts';
import { bindParameters, ParameterScope } from '../nn/parameters.ts';
import { Program } from '../runtime/program.ts';
import { float32, sameShape, sizeOf, type Tensor } from '../tensor.ts';
import type { FlowModel, StudentSettings } from './model.ts';
import { Pacer } from './pacer.ts';

export const SOLVERS = ['one-step', 'euler', 'heun'] as const;
export type Solver = (typeof SOLVERS)[number];

export interface SampleRequest {
  readonly solver: Solver;
  /** Steps of Euler or Heun. Of a student: how far it goes on its grid; left out = to the end. */
  readonly steps?: number;
  /** [count, ...sample], standard normal. */
  readonly noise: Tensor<'float32'>;
  /** One class a sample, for networks with classes; -1 = no class. */
  readonly labels?: Int32Array;
  /** For students that add fresh noise between steps: like `noise`, one for each step but the first. */
  readonly freshNoise?: readonly Tensor<'float32'>[];
}

/** A step from t to t - dt; then, for students that do so, to time `to` by adding fresh noise. */
export interface Stride {
  readonly t: number;
  readonly dt: number;
  readonly fresh?: { readonly to: number; readonly noise: Float32Array };
}

/** Equal steps from t = 1 to 0. */
function evenStrides(steps: number): Stride[] {
  return Array.from({ length: steps }, (_, k) => ({ t: (steps - k) / steps, dt: 1 / steps }));
}

/**
 * What a student does on the first `times` of its grid, when it then stops at time `end`: the next time of
 * the grid (to be trained there) or 0. `freshNoise` has one vector for each transition, when it uses any.
 */
export function studentStrides(
  times: readonly number[],
  end: number,
  transition: StudentSettings['transition'],
  freshNoise: readonly Float32Array[] = [],
): Stride[] {
  return times.map((t, k) => {
    const next = times[k + 1] ?? end;
    if (transition === 'euler' || next === 0) return { t, dt: t - next };
    return { t, dt: t, fresh: { to: next, noise: freshNoise[k]! } };
  });
}

/** Samples [count, ...sample]. Throws for a one-step request on a model that is no student, wrong shapes and labels. */
export async function sample(
  model: FlowModel,
  request: SampleRequest,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const count = checkRequest(model, request);
  const sampler = new Sampler(model, request.solver, count);
  try {
    return await sampler.run(request, signal);
  } finally {
    sampler.dispose();
  }
}

/** A solver as a program over a batch of at most `count` samples; it can run many times, with the model's weights as they are then. */
export class Sampler {
  readonly #network: NetworkConfig;
  readonly #student: StudentSettings | undefined;
  readonly #batch: number;
  /** Noise before a run, samples after it: the program writes in place. */
  readonly #x: Float32Array;
  readonly #labels: BigInt64Array | undefined;
  readonly #t = new Float32Array(1);
  readonly #dt = new Float32Array(1);
  readonly #pacer = new Pacer();
  readonly #program: Program;
  readonly #isOneStep: boolean;
  /** Heun ends with an Euler step, since the velocity at t = 0 is outside of what was trained. */
  readonly #last: Program | undefined;

  constructor(model: FlowModel, solver: Solver, count: number) {
    const { network, student } = model.info;
    this.#network = network;
    this.#student = student;
    this.#batch = Math.min(count, cachedBatch(network));
    this.#x = new Float32Array(this.#batch * sizeOf(sampleShape(network)));
    this.#labels = classCount(network) > 0 ? new BigInt64Array(this.#batch) : undefined;
    // A student of one step has a time and a factor of its own, which are constants of its program.
    this.#isOneStep = solver === 'one-step' && student?.grid.length === 1;
    const isGrid = solver === 'one-step' && !this.#isOneStep;
    this.#program = this.#compile(model, isGrid ? 'euler' : solver);
    this.#last = solver === 'heun' ? this.#compile(model, 'euler') : undefined;
  }

  /** Samples from the request's noise. Throws INTERRUPTED when the signal is aborted. */
  async run(request: SampleRequest, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const { noise, labels } = request;
    const out = noise.data.slice();
    await this.integrate(out, this.#strides(request, out), labels, signal);
    return float32(out, noise.shape);
  }

  /** Carries x [count, ...sample] along the strides, in place. Throws INTERRUPTED when the signal is aborted. */
  async integrate(
    x: Float32Array,
    strides: readonly Stride[],
    labels?: Int32Array,
    signal?: AbortSignal,
  ): Promise<void> {
    const size = sizeOf(sampleShape(this.#network));
    for (let start = 0; start < x.length / size; start += this.#batch) {
      const [from, to] = [start * size, (start + this.#batch) * size];
      const range = x.subarray(from, to);
      // A last batch that is not full keeps rows of the one before, which nobody reads.
      this.#x.set(range);
      this.#setLabels(labels?.subarray(start, start + this.#batch));
      for (const [k, stride] of strides.entries()) {
        if (signal?.aborted) throw new FlowstepError('INTERRUPTED', 'sampling was stopped');
        await this.#stride(stride, k === strides.length - 1);
        if (stride.fresh) addNoise(this.#x, stride.fresh.to, stride.fresh.noise.subarray(from, to));
      }
      range.set(this.#x.subarray(0, range.length));
    }
  }

  dispose(): void {
    this.#program.dispose();
    this.#last?.dispose();
  }

  async #stride({ t, dt }: Stride, isLast: boolean): Promise<void> {
    this.#t[0] = t;
    this.#dt[0] = dt;
    await this.#pacer.run(isLast && this.#last ? this.#last : this.#program);
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

  #setLabels(labels: Int32Array | undefined): void {
    const noClass = BigInt(classCount(this.#network));
    this.#labels?.fill(noClass);
    for (const [k, label] of labels?.entries() ?? []) {
      if (label >= 0) this.#labels![k] = BigInt(label);
    }
  }

  #compile(model: FlowModel, solver: Solver): Program {
    const { network, student } = model.info;
    const batch = this.#batch;
    const graph = new Graph();
    const shape = [batch, ...sampleShape(network)];
    const x = graph.input('x', shape);
    const labels = this.#labels ? graph.input('labels', [batch], 'int64') : undefined;
    const field = (at: Value, t: Value) =>
      velocity(new ParameterScope(graph, 'network'), network, at, expand(t, [batch]), labels);
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
    const program = new Program(graph, { name: `${solver} sampler` });
    program.bindInput('x', float32(this.#x, shape));
    program.bindOutput('samples', float32(this.#x, shape));
    if (labels) {
      program.bindInput('labels', { dtype: 'int64', shape: [batch], data: this.#labels! });
    }
    if (solver !== 'one-step') {
      program.bindInput('t', float32(this.#t, []));
      program.bindInput('dt', float32(this.#dt, []));
    }
    bindParameters(program, graph, 'network', parameterList(network), model.parameters);
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

function checkRequest(model: FlowModel, request: SampleRequest): number {
  const { network, role, student } = model.info;
  const shape = sampleShape(network);
  const [count = 0, ...rest] = request.noise.shape;
  if (count < 1 || !sameShape(rest, shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `noise of [${request.noise.shape.join(', ')}] does not fit samples of [${shape.join(', ')}]`,
    );
  }
  if (request.solver === 'one-step' && !student) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `the model is a ${role}, not a one-step student`,
      {
        hint: 'sample it with euler or heun, or distil it first',
        field: 'solver',
      },
    );
  }
  checkSteps(request, student);
  checkLabels(network, request.labels, count);
  return count;
}

function checkSteps(request: SampleRequest, student: StudentSettings | undefined): void {
  const most =
    request.solver === 'one-step' ? (student?.grid.length ?? 1) : Number.MAX_SAFE_INTEGER;
  const { steps = most } = request;
  if (!Number.isInteger(steps) || steps < 1 || steps > most) {
    const bounds =
      request.solver === 'one-step' ? `a whole number from 1 to ${most}` : 'a whole number above 0';
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `steps must be ${bounds}, not ${steps}`, {
      field: 'steps',
      ...(request.solver === 'one-step' && { hint: `The student was trained for ${most}.` }),
    });
  }
  const transitions =
    student?.transition === 'fresh' && request.solver === 'one-step' ? steps - 1 : 0;
  const noises = request.freshNoise ?? [];
  if (noises.length < transitions || noises.some((n) => !sameShape(n.shape, request.noise.shape))) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `the student adds fresh noise ${transitions} times: as many tensors like the noise are needed`,
      { field: 'freshNoise' },
    );
  }
}

function checkLabels(network: NetworkConfig, labels: Int32Array | undefined, count: number): void {
  if (!labels) return;
  const classes = classCount(network);
  if (labels.length !== count || labels.some((l) => l < -1 || l >= classes)) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      classes === 0
        ? 'the model was trained without classes'
        : `labels must be ${count} numbers from 0 to ${classes - 1}, or -1`,
      { field: 'labels' },
    );
  }
}
