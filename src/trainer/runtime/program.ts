/** @file A graph ready to run: an ONNX Runtime session whose inputs and outputs are bound once to memory that stays. */
import { FlowstepError } from '../../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { encodeOnnx } from '../graph/onnx-encode.ts';
import { formatShape } from '../graph/shapes.ts';
import { sameShape, type Tensor } from '../tensor.ts';
import type { DeviceTensor } from './device-memory.ts';
import { type BoundTensor, type Engine, engine, type SessionOptions } from './engine.ts';
import type { Device } from './library.ts';
import type { Pointer } from './ort-api.ts';
import { noteMade } from './whole.ts';

/** On WebGPU the fused operator lacks the outputs mean and deviation, and the session fails; on the CPU it gains nothing. */
const DISABLED_OPTIMISERS = 'SkipLayerNormFusion';
/** x sigmoid(x) is put together from its parts also in types for which there is no such operator, and the session fails. */
const DISABLED_BEYOND_FLOAT32 = 'QuickGeluFusion';
/** Slices of one tensor become one operator, whose kernel on CUDA needs lists of the host: see cudaGraph. */
const DISABLED_ON_CUDA = 'GatherSliceToSplitFusion';
/** What is computed again on purpose would be computed once; and an output that is computed once more, copied. */
const DISABLED_WHERE_REPEATED = 'CommonSubexpressionElimination';

export interface ProgramOptions {
  /** Shown in errors. */
  readonly name: string;
  /**
   * On devices that can, the first run is recorded and later ones replay it. All memory must then be on the device, and
   * the first run is done twice: see `warmUp`.
   */
  readonly capture?: boolean;
}

/** What ONNX Runtime says of a program that cannot be recorded. */
const REFUSED = /graph capture/i;

/** When set, each program writes ONNX Runtime's profile (a JSON trace) to PREFIX-NAME_DATE.json as it is disposed of. */
const PROFILE_PREFIX = process.env['FLOWSTEP_PROFILE'];

export class Program {
  readonly name: string;
  readonly #engine: Engine;
  readonly #session: Pointer;
  readonly #binding: Pointer;
  readonly #runOptions: Pointer;
  readonly #graph: Graph;
  /** The graph as the device runs it. */
  readonly #form: Graph;
  readonly #bound = new Map<string, BoundTensor>();
  /** What was bound in another type than the device takes. */
  readonly #converted = new Map<string, Tensor>();
  /** Inputs and outputs that have no memory yet. */
  readonly #unbound: Set<string>;
  /** Whether a first run is still to be recorded. */
  #isCold: boolean;
  #running = false;
  #stopping = false;
  #disposed = false;

  constructor(graph: Graph, options: ProgramOptions, on: Engine = engine()) {
    this.name = options.name;
    this.#engine = on;
    this.#graph = graph;
    this.#unbound = new Set([...graph.inputs.keys(), ...graph.outputs.keys()]);
    const { api } = on;
    this.#form = on.formOf(graph);
    const model = encodeOnnx(this.#form);
    const create = (how: SessionOptions) =>
      this.#engineCall(() =>
        on.createSession(model, {
          entries: {
            'optimization.disable_specified_optimizers': disabledOptimisers(
              this.#form,
              on.library.device,
              this.#isCold,
            ),
          },
          ...(PROFILE_PREFIX && { profile: `${PROFILE_PREFIX}-${this.name.replaceAll(' ', '-')}` }),
          ...how,
        }),
      );
    this.#isCold = (options.capture ?? false) && on.canCapture(this.#form);
    try {
      this.#session = create({ capture: this.#isCold });
    } catch (error) {
      // Only what runs on the device from end to end can be recorded.
      if (!this.#isCold || !(error instanceof FlowstepError && REFUSED.test(error.message)))
        throw error;
      this.#isCold = false;
      this.#session = create({});
    }
    this.#binding = api.create('CreateIoBinding', this.#session);
    this.#runOptions = api.create('CreateRunOptions');
    noteMade({ [Symbol.dispose]: () => this.dispose() });
  }

  /** Binds an input to a tensor, which is read in place at every run. Throws SHAPE_MISMATCH. */
  bindInput(name: string, tensor: DeviceTensor): void {
    this.#bind('BindInput', name, this.#graph.inputs.get(name), tensor);
  }

  /** Binds an output to a tensor, which is written in place at every run; it may be an input's too. */
  bindOutput(name: string, tensor: DeviceTensor): void {
    this.#bind('BindOutput', name, this.#graph.outputs.get(name), tensor);
  }

  /**
   * Records a program that is to be recorded, which runs it twice: before what it writes holds anything that counts. Does
   * nothing for others, and the second time.
   */
  async warmUp(): Promise<void> {
    if (this.#isCold) await this.run();
  }

  /** Whether `runSync` may be called: on a device other runs may be under way. */
  get canRunSync(): boolean {
    return this.#engine.isFree;
  }

  /** Runs once on ONNX Runtime's threads, without blocking the event loop. One run at a time. */
  async run(): Promise<void> {
    this.#begin();
    try {
      await this.#engine.compute('RunWithBinding', this.#session, this.#runOptions, this.#binding);
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
    this.#engine.memory?.giveBack();
  }

  #begin(): void {
    if (this.#disposed) throw new FlowstepError('INTERNAL', `internal: ${this.name} is disposed`);
    if (this.#running) throw new FlowstepError('INTERNAL', `internal: ${this.name} already runs`);
    const [unbound] = this.#unbound;
    if (unbound !== undefined) {
      throw new FlowstepError('INTERNAL', `internal: ${this.name}: ${unbound} is not bound`);
    }
    this.#running = true;
    if (this.#engine.memory) this.#bringHostInputs();
  }

  /** A device gets an input in the host's memory when it is bound, not when it is read. */
  #bringHostInputs(): void {
    for (const name of this.#graph.inputs.keys()) {
      const { value, isPlace, tensor } = this.#bound.get(name)!;
      if (isPlace) continue;
      const given = this.#converted.get(name);
      if (given)
        (tensor.data as Int32Array).set(this.#engine.formOfTensor(given).data as Int32Array);
      this.#engine.api.call('BindInput', this.#binding, name, value);
    }
  }

  #end(): void {
    this.#running = false;
    this.#isCold = false;
    if (!this.#stopping) return;
    // The flag would stop the next run too.
    this.#stopping = false;
    this.#engine.api.call('RunOptionsUnsetTerminate', this.#runOptions);
  }

  #bind(
    how: 'BindInput' | 'BindOutput',
    name: string,
    declared: Value | undefined,
    tensor: DeviceTensor,
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
    const form = tensor.place ? tensor : this.#engine.formOfTensor(tensor);
    if (form !== tensor) this.#converted.set(name, tensor);
    const written = how === 'BindOutput' ? this.#form.outputs.get(name)?.shape : undefined;
    const bound = this.#engine.bind(form, written);
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
    const node = this.#form.nodes.find((n) => n.outputs[0]?.id === id);
    const shapes =
      node?.kind === 'operator'
        ? ` (${node.operator} of ${node.inputs.map((v) => v.dtype + formatShape(v.shape)).join(', ')})`
        : '';
    return new FlowstepError('ENGINE', `${this.name}: ${error.message}${shapes}`, { cause: error });
  }
}

function disabledOptimisers(graph: Graph, device: Device, isRecorded: boolean): string {
  const isBeyond = graph.nodes.some(({ outputs }) =>
    outputs.some(({ dtype }) => dtype === 'float64' || dtype === 'bfloat16'),
  );
  return [
    DISABLED_OPTIMISERS,
    ...(isBeyond ? [DISABLED_BEYOND_FLOAT32] : []),
    ...(device === 'cuda' ? [DISABLED_ON_CUDA] : []),
    ...(graph.order === 'kept' || isRecorded ? [DISABLED_WHERE_REPEATED] : []),
  ].join(';');
}
