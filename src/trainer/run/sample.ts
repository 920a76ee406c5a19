/** @file Samples of a flow: one step of a student, or Euler and Heun along a teacher's velocity from t = 1 to 0. */
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
import type { FlowModel } from './model.ts';
import { Pacer } from './pacer.ts';

export const SOLVERS = ['one-step', 'euler', 'heun'] as const;
export type Solver = (typeof SOLVERS)[number];

export interface SampleRequest {
  readonly solver: Solver;
  /** Steps of Euler or Heun. */
  readonly steps: number;
  /** [count, ...sample], standard normal. */
  readonly noise: Tensor<'float32'>;
  /** One class a sample, for networks with classes; -1 = no class. */
  readonly labels?: Int32Array;
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

/** A solver as a program over a batch of at most `count` samples; it can run many times. */
export class Sampler {
  readonly #network: NetworkConfig;
  readonly #batch: number;
  /** Noise before a run, samples after it: the program writes in place. */
  readonly #x: Float32Array;
  readonly #labels: BigInt64Array | undefined;
  readonly #t = new Float32Array(1);
  readonly #dt = new Float32Array(1);
  readonly #pacer = new Pacer();
  readonly #program: Program;
  /** Heun ends with an Euler step, since the velocity at t = 0 is outside of what was trained. */
  readonly #last: Program | undefined;

  constructor(model: FlowModel, solver: Solver, count: number) {
    const { network } = model.info;
    this.#network = network;
    this.#batch = Math.min(count, cachedBatch(network));
    this.#x = new Float32Array(this.#batch * sizeOf(sampleShape(network)));
    this.#labels = classCount(network) > 0 ? new BigInt64Array(this.#batch) : undefined;
    this.#program = this.#compile(model, this.#batch, solver);
    this.#last = solver === 'heun' ? this.#compile(model, this.#batch, 'euler') : undefined;
  }

  /** Samples from the request's noise. Throws INTERRUPTED when the signal is aborted. */
  async run(request: SampleRequest, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const { noise, labels } = request;
    const out = noise.data.slice();
    const size = sizeOf(sampleShape(this.#network));
    for (let start = 0; start < out.length / size; start += this.#batch) {
      const range = out.subarray(start * size, (start + this.#batch) * size);
      // A last batch that is not full keeps rows of the one before, which nobody reads.
      this.#x.set(range);
      this.#setLabels(labels?.subarray(start, start + this.#batch));
      await this.#solve(request.solver === 'one-step' ? 1 : request.steps, signal);
      range.set(this.#x.subarray(0, range.length));
    }
    return float32(out, noise.shape);
  }

  dispose(): void {
    this.#program.dispose();
    this.#last?.dispose();
  }

  async #solve(steps: number, signal?: AbortSignal): Promise<void> {
    for (let i = steps; i > 0; i--) {
      if (signal?.aborted) throw new FlowstepError('INTERRUPTED', 'sampling was stopped');
      this.#t[0] = i / steps;
      this.#dt[0] = 1 / steps;
      await this.#pacer.run(i === 1 && this.#last ? this.#last : this.#program);
    }
  }

  #setLabels(labels: Int32Array | undefined): void {
    const noClass = BigInt(classCount(this.#network));
    this.#labels?.fill(noClass);
    for (const [k, label] of labels?.entries() ?? []) {
      if (label >= 0) this.#labels![k] = BigInt(label);
    }
  }

  #compile(model: FlowModel, batch: number, solver: Solver): Program {
    const { network, student } = model.info;
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
  if (request.solver !== 'one-step' && !(Number.isInteger(request.steps) && request.steps > 0)) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `steps must be a whole number above 0`, {
      field: 'steps',
    });
  }
  checkLabels(network, request.labels, count);
  return count;
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
