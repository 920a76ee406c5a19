/** @file One ONNX Runtime environment per process: the library, its thread pool and memory that programs share. */
import { availableParallelism } from 'node:os';
import { FlowstepError } from '../../errors.ts';
import { cudaGraph, isFreeOfHost } from '../graph/cuda-graph.ts';
import type { Graph } from '../graph/graph.ts';
import { lowPrecisionGraph } from '../graph/low-precision.ts';
import { ELEMENT_TYPES } from '../graph/onnx-format.ts';
import { webGpuGraph, webGpuTensor } from '../graph/webgpu-graph.ts';
import { type Shape, sameShape, type Tensor } from '../tensor.ts';
import type { CallThread } from './call-thread.ts';
import { DeviceMemory, type DeviceTensor, MEMORY_NAMES } from './device-memory.ts';
import { type Device, findLibrary, type Library } from './library.ts';
import { dimensions, type FunctionName, OrtApi, type Pointer } from './ort-api.ts';
import {
  appendProvider,
  type Precision,
  type ProviderOptions,
  prepareProvider,
} from './providers.ts';
import { noteMade } from './whole.ts';

export interface EngineOptions {
  readonly device?: Device;
  /** Threads that compute; default: the processors that this process may use. */
  readonly threads?: number;
  /** Whether operators that the device lacks may run on the CPU; default: yes. Else programs with such are refused. */
  readonly cpuFallback?: boolean;
  /** Whether programs may be recorded and replayed, on devices that can; default: yes, but on CUDA no. */
  readonly capture?: boolean;
  /** Options of the device's provider, by its own names. */
  readonly providerOptions?: ProviderOptions;
  /** Type of products, and of what stands between them; state is float32 all the same. Default: float32. */
  readonly precision?: Precision;
}

export interface SessionOptions {
  /** ONNX Runtime's session configuration entries, besides those that all sessions have. */
  readonly entries?: Readonly<Record<string, string>>;
  /** Start of the name of a profile to write. */
  readonly profile?: string;
  /** Record the device's commands in the first run, which is then done twice, and replay them in later ones. */
  readonly capture?: boolean;
}

/**
 * WebGPU's own checks of each command cost more than the commands; ours come before, from shapes. In its preferred layout,
 * NHWC, transpositions are put around convolutions and moved to masks, which then are left to the CPU.
 */
const PROVIDER_OPTIONS: Partial<Record<Device, ProviderOptions>> = {
  webgpu: { validationMode: 'disabled', enableInt64: '1', preferredLayout: 'NCHW' },
};

/** What turns recording on, where a provider can. */
const CAPTURE_OPTIONS: Partial<Record<Device, ProviderOptions>> = {
  webgpu: { enableGraphCapture: '1' },
  cuda: { enable_cuda_graph: '1' },
};

/** ONNX Runtime's ORT_LOGGING_LEVEL_ERROR. */
const LOG_ERRORS = 3;
/** ONNX Runtime's ORT_ENABLE_ALL. */
const OPTIMISE_ALL = 99;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;

/** Memory that ONNX Runtime reads or writes in place: a host array and the library's handle to it. */
export interface BoundTensor {
  readonly tensor: Tensor;
  readonly value: Pointer;
  /** Whether the value lives as long as the tensor's place on the device. */
  readonly isPlace?: boolean;
}

export class Engine {
  readonly api: OrtApi;
  readonly library: Library;
  readonly threads: number;
  readonly environment: Pointer;
  /** The device's own memory; undefined where programs compute in the host's. */
  readonly memory: DeviceMemory | undefined;
  readonly precision: Precision;
  readonly #cpuFallback: boolean;
  readonly #capture: boolean;
  readonly providerOptions: ProviderOptions;
  readonly #hostMemory: Pointer;
  /** Makes all runs, where the provider minds which thread does. */
  readonly #thread: CallThread | undefined;
  #liveTensors = 0;
  /** The last of the runs that wait for each other. */
  #lastRun: Promise<void> = Promise.resolve();
  #waitingRuns = 0;

  constructor(library: Library, threads: number, options: EngineOptions = {}) {
    // Nobody has seen it work on CUDA yet.
    const { cpuFallback = true, capture = library.device !== 'cuda' } = options;
    const { providerOptions = {} } = options;
    this.precision = options.precision ?? 'float32';
    prepareProvider(library);
    this.api = new OrtApi(library.path);
    this.library = library;
    this.threads = threads;
    // One pool for all sessions: two sessions with a spinning pool each take twice the time when they alternate.
    const threading = this.api.create('CreateThreadingOptions');
    this.api.call('SetGlobalIntraOpNumThreads', threading, threads);
    this.api.call('SetGlobalInterOpNumThreads', threading, 1);
    this.environment = this.api.create(
      'CreateEnvWithGlobalThreadPools',
      LOG_ERRORS,
      'flowstep',
      threading,
    );
    this.api.release('ReleaseThreadingOptions', threading);
    this.#hostMemory = this.api.create('CreateCpuMemoryInfo', ARENA_ALLOCATOR, DEFAULT_MEMORY);
    // One arena for all sessions, so that programs which take turns share their working memory.
    this.api.call('CreateAndRegisterAllocator', this.environment, this.#hostMemory, null);
    this.#cpuFallback = cpuFallback;
    this.#capture = capture;
    this.providerOptions = providerOptions;
    const { device } = library;
    if (device === 'cuda') this.#thread = this.api.thread();
    if (device !== 'cpu') this.memory = new DeviceMemory(this, MEMORY_NAMES[device]);
    // What was recorded finds its working memory as it was left: others must not take it meanwhile.
    if (device === 'cuda' && !capture) this.memory?.shareArena(providerOptions);
  }

  /** A session over an encoded model, on the shared threads and arena of this engine's device. Throws ENGINE. */
  createSession(model: Uint8Array, options: SessionOptions = {}): Pointer {
    const { api } = this;
    const session = api.create('CreateSessionOptions');
    try {
      api.call('DisablePerSessionThreads', session);
      // A pattern is one block beside the pieces of the first run: a third more memory, and no faster.
      api.call('DisableMemPattern', session);
      api.call('SetSessionGraphOptimizationLevel', session, OPTIMISE_ALL);
      const { provider } = this.library;
      const entries = {
        'session.use_env_allocators': '1',
        ...(provider && !this.#cpuFallback && { 'session.disable_cpu_ep_fallback': '1' }),
        ...options.entries,
      };
      for (const [key, value] of Object.entries(entries)) {
        api.call('AddSessionConfigEntry', session, key, value);
      }
      if (options.profile !== undefined) api.call('EnableProfiling', session, options.profile);
      appendProvider(api, session, this.library, {
        ...PROVIDER_OPTIONS[this.library.device],
        ...this.providerOptions,
        ...(options.capture && CAPTURE_OPTIONS[this.library.device]),
      });
      return api.create(
        'CreateSessionFromArray',
        this.environment,
        model,
        model.byteLength,
        session,
      );
    } finally {
      api.release('ReleaseSessionOptions', session);
    }
  }

  /** A graph in operators and types that the device has kernels for. */
  formOf(graph: Graph): Graph {
    const { device } = this.library;
    if (device === 'webgpu') return webGpuGraph(graph);
    const low = this.precision === 'float32' ? graph : lowPrecisionGraph(graph, this.precision);
    return device === 'cuda' ? cudaGraph(low) : low;
  }

  /** A tensor in the type that it has in such a graph: itself, or a copy. */
  formOfTensor(tensor: Tensor): Tensor {
    return this.library.device === 'webgpu' ? webGpuTensor(tensor) : tensor;
  }

  /** Whether the device can record a program's commands, `graph` being its form there. */
  canCapture(graph: Graph): boolean {
    const { device } = this.library;
    if (!this.#capture || !CAPTURE_OPTIONS[device]) return false;
    return device !== 'cuda' || isFreeOfHost(graph);
  }

  /** Whether a run may be called on this thread: on a device only one may be under way. */
  get isFree(): boolean {
    return !this.memory || (!this.#thread && this.#waitingRuns === 0);
  }

  /** Calls a function that computes, on another thread; on a device one after the other, as its queue is one. */
  async compute(name: FunctionName, ...args: readonly unknown[]): Promise<void> {
    if (!this.memory) return this.api.callAsync(name, ...args);
    const call = () =>
      this.#thread
        ? this.api.callOn(this.#thread, name, ...args)
        : this.api.callAsync(name, ...args);
    this.#waitingRuns++;
    const run = this.#lastRun.then(call);
    this.#lastRun = run.catch(() => undefined);
    try {
      await run;
    } finally {
      this.#waitingRuns--;
    }
  }

  /** Handles that are bound and not given back: it must not grow while nothing is compiled. */
  get liveTensors(): number {
    return this.#liveTensors;
  }

  /**
   * A handle over `tensor`'s own memory (not copied), or its place on the device, with as many elements in another shape if
   * need be. Keep the result as long as it is bound.
   */
  bind(tensor: DeviceTensor, shape: Shape = tensor.shape): BoundTensor {
    const { data, dtype, place } = tensor;
    if (place && sameShape(shape, tensor.shape)) return { tensor, value: place, isPlace: true };
    if (place && this.memory) {
      return { tensor, value: this.hold(this.memory.part(place, 0, { dtype, shape })) };
    }
    // Touching the buffer moves a small typed array off V8's heap, where it would be moved about.
    void data.buffer;
    const value = this.api.create(
      'CreateTensorWithDataAsOrtValue',
      this.#hostMemory,
      data,
      data.byteLength,
      dimensions(shape),
      shape.length,
      ELEMENT_TYPES[dtype],
    );
    return { tensor, value: this.hold(value) };
  }

  unbind({ value, isPlace }: BoundTensor): void {
    if (!isPlace) this.drop(value);
  }

  /** Counts a handle that somebody has to drop. */
  hold(value: Pointer): Pointer {
    this.#liveTensors++;
    return value;
  }

  /** `hold` for an object that is being made: `places` are what it has to drop, once it is made. */
  keep(value: Pointer, places: Pointer[]): Pointer {
    places.push(this.hold(value));
    noteMade({ [Symbol.dispose]: () => this.drop(value) });
    return value;
  }

  drop(value: Pointer): void {
    this.api.release('ReleaseValue', value);
    this.#liveTensors--;
  }
}

let current: Engine | undefined;

/**
 * The engine of this process, made on first use. ONNX Runtime has one thread pool a process, so
 * asking for another device, thread count or precision later is an error; other options count in the first call.
 */
export function engine(options: EngineOptions = {}): Engine {
  if (!current) {
    const threads = options.threads ?? availableParallelism();
    current = new Engine(findLibrary(options.device ?? 'cpu'), threads, options);
    return current;
  }
  const is = {
    device: current.library.device,
    threads: current.threads,
    precision: current.precision,
  };
  const asked = { ...is, ...options };
  if (
    asked.device !== is.device ||
    asked.threads !== is.threads ||
    asked.precision !== is.precision
  ) {
    const words = (of: typeof is) => `${of.device} with ${of.threads} threads in ${of.precision}`;
    throw new FlowstepError(
      'DEVICE_UNAVAILABLE',
      `this process already runs on ${words(is)}, not on ${words(asked)}`,
      { hint: 'start another process for another device, thread count or precision' },
    );
  }
  return current;
}
