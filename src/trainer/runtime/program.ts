/** @file A graph ready to run: an ONNX Runtime session whose inputs and outputs are bound once to memory that stays. */
import { FlowstepError } from '../../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { encodeOnnx } from '../graph/onnx-encode.ts';
import { formatShape } from '../graph/shapes.ts';
import { sameShape, type Tensor } from '../tensor.ts';
import { type BoundTensor, type Engine, engine } from './engine.ts';
import type { Pointer } from './ort-api.ts';

/** On WebGPU the fused operator lacks the outputs mean and deviation, and the session fails; on the CPU it gains nothing. */
const DISABLED_OPTIMISERS = 'SkipLayerNormFusion';
/** x sigmoid(x) is put together from its parts also in float64, for which there is no such operator, and the session fails. */
const DISABLED_IN_FLOAT64 = 'QuickGeluFusion';
/** What is computed again on purpose would be computed once. */
const DISABLED_IN_KEPT_ORDER = 'CommonSubexpressionElimination';

export interface ProgramOptions {
  /** Shown in errors. */
  readonly name: string;
}

/** When set, each program writes ONNX Runtime's profile (a JSON trace) to PREFIX-NAME_DATE.json as it is disposed of. */
const PROFILE_PREFIX = process.env['FLOWSTEP_PROFILE'];

export class Program {
  readonly name: string;
  readonly #engine: Engine;
  readonly #session: Pointer;
  readonly #binding: Pointer;
  readonly #runOptions: Pointer;
  readonly #graph: Graph;
  readonly #bound = new Map<string, BoundTensor>();
  /** Inputs and outputs that have no memory yet. */
  readonly #unbound: Set<string>;
  #running = false;
  #stopping = false;
  #disposed = false;

  constructor(graph: Graph, options: ProgramOptions, on: Engine = engine()) {
    this.name = options.name;
    this.#engine = on;
    this.#graph = graph;
    this.#unbound = new Set([...graph.inputs.keys(), ...graph.outputs.keys()]);
    const { api } = on;
    this.#session = this.#engineCall(() =>
      on.createSession(encodeOnnx(graph), {
        entries: { 'optimization.disable_specified_optimizers': disabledOptimisers(graph) },
        ...(PROFILE_PREFIX && { profile: `${PROFILE_PREFIX}-${this.name.replaceAll(' ', '-')}` }),
      }),
    );
    this.#binding = api.create('CreateIoBinding', this.#session);
    this.#runOptions = api.create('CreateRunOptions');
  }

  /** Binds an input to a tensor, which is read in place at every run. Throws SHAPE_MISMATCH. */
  bindInput(name: string, tensor: Tensor): void {
    this.#bind('BindInput', name, this.#graph.inputs.get(name), tensor);
  }

  /** Binds an output to a tensor, which is written in place at every run; it may be an input's too. */
  bindOutput(name: string, tensor: Tensor): void {
    this.#bind('BindOutput', name, this.#graph.outputs.get(name), tensor);
  }

  /** Runs once on ONNX Runtime's threads, without blocking the event loop. One run at a time. */
  async run(): Promise<void> {
    this.#begin();
    try {
      const { api } = this.#engine;
      await api.callAsync('RunWithBinding', this.#session, this.#runOptions, this.#binding);
    } catch (error) {
      throw this.#explained(error);
    } finally {
      this.#end();
    }
  }

  /** Runs once and blocks; for programs that take less time than a turn of the event loop. */
  runSync(): void {
    this.#begin();
    try {
      const { api } = this.#engine;
      api.call('RunWithBinding', this.#session, this.#runOptions, this.#binding);
    } catch (error) {
      throw this.#explained(error);
    } finally {
      this.#end();
    }
  }

  /** Makes a run in progress stop with an error within a few milliseconds; what it was writing is undefined. */
  terminate(): void {
    if (!this.#running) return;
    this.#stopping = true;
    this.#engine.api.call('RunOptionsSetTerminate', this.#runOptions);
  }

  dispose(): void {
    if (this.#disposed) return;
    if (this.#running) throw new FlowstepError('INTERNAL', `internal: ${this.name} is running`);
    this.#disposed = true;
    const { api } = this.#engine;
    if (PROFILE_PREFIX) {
      const allocator = api.create('GetAllocatorWithDefaultOptions');
      api.create('SessionEndProfiling', this.#session, allocator);
    }
    api.release('ReleaseIoBinding', this.#binding);
    api.release('ReleaseRunOptions', this.#runOptions);
    api.release('ReleaseSession', this.#session);
    for (const bound of this.#bound.values()) this.#engine.unbind(bound);
    this.#bound.clear();
  }

  #begin(): void {
    if (this.#disposed) throw new FlowstepError('INTERNAL', `internal: ${this.name} is disposed`);
    if (this.#running) throw new FlowstepError('INTERNAL', `internal: ${this.name} already runs`);
    const [unbound] = this.#unbound;
    if (unbound !== undefined) {
      throw new FlowstepError('INTERNAL', `internal: ${this.name}: ${unbound} is not bound`);
    }
    this.#running = true;
  }

  #end(): void {
    this.#running = false;
    if (!this.#stopping) return;
    // The flag would stop the next run too.
    this.#stopping = false;
    this.#engine.api.call('RunOptionsUnsetTerminate', this.#runOptions);
  }

  #bind(
    how: 'BindInput' | 'BindOutput',
    name: string,
    declared: Value | undefined,
    tensor: Tensor,
  ): void {
    const direction = how === 'BindInput' ? 'input' : 'output';
    if (!declared) {
      throw new FlowstepError('INTERNAL', `internal: ${this.name} has no ${direction} ${name}`);
    }
    if (declared.dtype !== tensor.dtype || !sameShape(declared.shape, tensor.shape)) {
      throw new FlowstepError(
        'SHAPE_MISMATCH',
        `${this.name}: ${direction} ${name} is ${declared.dtype}${formatShape(declared.shape)}, not ${tensor.dtype}${formatShape(tensor.shape)}`,
      );
    }
    const bound = this.#engine.bind(tensor);
    this.#engine.api.call(how, this.#binding, name, bound.value);
    const previous = this.#bound.get(name);
    this.#bound.set(name, bound);
    this.#unbound.delete(name);
    if (previous) this.#engine.unbind(previous);
  }

  #engineCall<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** ONNX Runtime names the node that failed; its shapes are added from the graph. */
  #explained(error: unknown): unknown {
    if (!(error instanceof FlowstepError) || error.code !== 'ENGINE') return error;
    if (/terminate/i.test(error.message)) {
      return new FlowstepError('INTERRUPTED', `${this.name} was stopped`, { cause: error });
    }
    const id = Number(/\b[A-Z][A-Za-z]+_(\d+)\b/.exec(error.message)?.[1]);
    const node = this.#graph.nodes.find((n) => n.outputs[0]?.id === id);
    const shapes =
      node?.kind === 'operator'
        ? ` (${node.operator} of ${node.inputs.map((v) => v.dtype + formatShape(v.shape)).join(', ')})`
        : '';
    return new FlowstepError('ENGINE', `${this.name}: ${error.message}${shapes}`, { cause: error });
  }
}

function disabledOptimisers(graph: Graph): string {
  const isFloat64 = graph.nodes.some(({ outputs }) => outputs.some((v) => v.dtype === 'float64'));
  return [
    DISABLED_OPTIMISERS,
    ...(isFloat64 ? [DISABLED_IN_FLOAT64] : []),
    ...(graph.order === 'kept' ? [DISABLED_IN_KEPT_ORDER] : []),
  ].join(';');
}
