/** @file Samples of a flow: one step of a student, or Euler and Heun along a teacher's velocity from t = 1 to 0. */
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { assertInPlaceSafe } from '../graph/in-place.ts';
import { add, expand, mul, sub } from '../graph/ops.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList, velocity } from '../nn/network.ts';
import { bindParameters, ParameterScope } from '../nn/parameters.ts';
import type { FlowModel } from '../run/model.ts';
import { Pacer } from '../run/pacer.ts';
import { Program } from '../runtime/program.ts';
import { float32, sameShape, sizeOf, type Tensor } from '../tensor.ts';

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

/** Values of a batch: 64 pictures of 32 x 32 in colour, or thousands of points. */
const BATCH_VALUES = 64 * 3072;
const MAX_BATCH = 4096;

/** Samples [count, ...sample]. Throws for a one-step request on a model that is no student, wrong shapes and labels. */
export async function sample(
  model: FlowModel,
  request: SampleRequest,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const { noise, steps } = request;
  const count = checkRequest(model, request);
  const size = sizeOf(sampleShape(model.info.network));
  const batch = Math.min(count, MAX_BATCH, Math.max(1, Math.floor(BATCH_VALUES / size)));
  const out = noise.data.slice();
  const sampler = new Sampler(model, request.solver, batch);
  try {
    for (let start = 0; start < count; start += batch) {
      const part = Math.min(batch, count - start);
      const range = out.subarray(start * size, (start + part) * size);
      // The last batch is filled up with what the batch before left: those rows are not read.
      sampler.x.set(range);
      sampler.setLabels((k) => request.labels?.[start + k] ?? -1, part);
      await sampler.run(request.solver === 'one-step' ? 1 : steps, signal);
      range.set(sampler.x.subarray(0, range.length));
    }
  } finally {
    sampler.dispose();
  }
  return float32(out, noise.shape);
}

/** A solver as a program that replaces x [batch, ...sample] in place. */
export class Sampler {
  /** Noise before a run, samples after it. */
  readonly x: Float32Array;
  readonly #program: Program;
  readonly #labels: BigInt64Array | undefined;
  readonly #t = new Float32Array(1);
  readonly #dt = new Float32Array(1);
  readonly #pacer = new Pacer();
  readonly #classes: number;
  /** Heun ends with an Euler step, since the velocity at t = 0 is outside of what was trained. */
  readonly #last: Program | undefined;

  constructor(model: FlowModel, solver: Solver, batch: number) {
    const { network } = model.info;
    this.#classes = classCount(network);
    this.x = new Float32Array(batch * sizeOf(sampleShape(network)));
    this.#labels = this.#classes > 0 ? new BigInt64Array(batch) : undefined;
    this.#program = this.#compile(model, batch, solver);
    this.#last = solver === 'heun' ? this.#compile(model, batch, 'euler') : undefined;
  }

  setLabels(label: (k: number) => number, count: number): void {
    if (!this.#labels) return;
    for (let k = 0; k < count; k++) {
      const wanted = label(k);
      this.#labels[k] = BigInt(wanted < 0 ? this.#classes : wanted);
    }
  }

  /** Runs all steps on x. Throws INTERRUPTED when the signal is aborted. */
  async run(steps: number, signal?: AbortSignal): Promise<void> {
    for (let i = steps; i > 0; i--) {
      if (signal?.aborted) throw new FlowstepError('INTERRUPTED', 'sampling was stopped');
      this.#t[0] = i / steps;
      this.#dt[0] = 1 / steps;
      await this.#pacer.run(i === 1 && this.#last ? this.#last : this.#program);
    }
  }

  dispose(): void {
    this.#program.dispose();
    this.#last?.dispose();
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
    program.bindInput('x', float32(this.x, shape));
    program.bindOutput('samples', float32(this.x, shape));
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
