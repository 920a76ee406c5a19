/** @file One ONNX Runtime environment per process: the library, its thread pool and memory that programs share. */
import { availableParallelism } from 'node:os';
import { FlowstepError } from '../../errors.ts';
import { ELEMENT_TYPES } from '../graph/onnx-format.ts';
import type { Tensor } from '../tensor.ts';
import { type Device, findLibrary, type Library } from './library.ts';
import { OrtApi, type Pointer } from './ort-api.ts';

export interface EngineOptions {
  readonly device?: Device;
  /** Threads that compute; default: the processors that this process may use. */
  readonly threads?: number;
}

export interface SessionOptions {
  /** ONNX Runtime's session configuration entries, besides those that all sessions have. */
  readonly entries?: Readonly<Record<string, string>>;
  /** Start of the name of a profile to write. */
  readonly profile?: string;
}

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
}

export class Engine {
  readonly api: OrtApi;
  readonly library: Library;
  readonly threads: number;
  readonly environment: Pointer;
  readonly #memory: Pointer;
  #liveTensors = 0;

  constructor(library: Library, threads: number) {
    this.api = new OrtApi(library.path);
    this.library = library;
    this.threads = threads;
    // One pool for all sessions: two sessions with a spinning pool each take twice the time when they alternate.
    const options = this.api.create('CreateThreadingOptions');
    this.api.call('SetGlobalIntraOpNumThreads', options, threads);
    this.api.call('SetGlobalInterOpNumThreads', options, 1);
    this.environment = this.api.create(
      'CreateEnvWithGlobalThreadPools',
      LOG_ERRORS,
      'flowstep',
      options,
    );
    this.api.release('ReleaseThreadingOptions', options);
    this.#memory = this.api.create('CreateCpuMemoryInfo', ARENA_ALLOCATOR, DEFAULT_MEMORY);
    // One arena for all sessions, so that programs which take turns share their working memory.
    this.api.call('CreateAndRegisterAllocator', this.environment, this.#memory, null);
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
      const entries = { 'session.use_env_allocators': '1', ...options.entries };
      for (const [key, value] of Object.entries(entries)) {
        api.call('AddSessionConfigEntry', session, key, value);
      }
      if (options.profile !== undefined) api.call('EnableProfiling', session, options.profile);
      const { provider } = this.library;
      if (provider) {
        api.call('SessionOptionsAppendExecutionProvider', session, provider, [], [], 0);
      }
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

  /** Handles that are bound and not given back: it must not grow while nothing is compiled. */
  get liveTensors(): number {
    return this.#liveTensors;
  }

  /** A handle over `tensor`'s own memory (not copied). Keep the result as long as it is bound. */
  bind(tensor: Tensor): BoundTensor {
    const { data, shape, dtype } = tensor;
    // Touching the buffer moves a small typed array off V8's heap, where it would be moved about.
    void data.buffer;
    const value = this.api.create(
      'CreateTensorWithDataAsOrtValue',
      this.#memory,
      data,
      data.byteLength,
      shape.length ? BigInt64Array.from(shape, BigInt) : null,
      shape.length,
      ELEMENT_TYPES[dtype],
    );
    this.#liveTensors++;
    return { tensor, value };
  }

  unbind(bound: BoundTensor): void {
    this.api.release('ReleaseValue', bound.value);
    this.#liveTensors--;
  }
}

let current: Engine | undefined;

/**
 * The engine of this process, made on first use. ONNX Runtime has one thread pool a process, so
 * asking for another device or thread count later is an error.
 */
export function engine(options: EngineOptions = {}): Engine {
  if (!current) {
    const threads = options.threads ?? availableParallelism();
    current = new Engine(findLibrary(options.device ?? 'cpu'), threads);
    return current;
  }
  const { device = current.library.device, threads = current.threads } = options;
  if (device !== current.library.device || threads !== current.threads) {
    throw new FlowstepError(
      'DEVICE_UNAVAILABLE',
      `this process already runs on ${current.library.device} with ${current.threads} threads, not on ${device} with ${threads}`,
      { hint: 'start another process for another device or thread count' },
    );
  }
  return current;
}
