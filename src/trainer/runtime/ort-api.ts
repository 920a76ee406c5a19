/**
 * @file ONNX Runtime's C API (onnxruntime_c_api.h) called through koffi: the functions we use, by
 * their position in the OrtApi table. The table only ever grows, so positions hold across versions.
 */
import koffi from 'koffi';
import { FlowstepError } from '../../errors.ts';
import { CallThread } from './call-thread.ts';
import { engineError } from './device-errors.ts';

/** An opaque pointer of the library. */
export type Pointer = unknown;

/** Oldest API version that has every function below. */
const API_VERSION = 20;

/** Position in OrtApi, and the C signature with `$` for the name. */
const FUNCTIONS = {
  GetErrorMessage: [2, 'const char *$(void *)'],
  CreateSessionFromArray: [8, 'void *$(void *, const void *, size_t, void *, _Out_ void **)'],
  Run: [
    9,
    'void *$(void *, void *, const char **, void **, size_t, const char **, size_t, void **)',
  ],
  CreateSessionOptions: [10, 'void *$(_Out_ void **)'],
  EnableProfiling: [14, 'void *$(void *, const char *)'],
  DisableMemPattern: [17, 'void *$(void *)'],
  SetSessionLogSeverityLevel: [22, 'void *$(void *, int)'],
  SetSessionGraphOptimizationLevel: [23, 'void *$(void *, int)'],
  CreateRunOptions: [39, 'void *$(_Out_ void **)'],
  RunOptionsSetTerminate: [46, 'void *$(void *)'],
  RunOptionsUnsetTerminate: [47, 'void *$(void *)'],
  CreateTensorAsOrtValue: [48, 'void *$(void *, int64_t *, size_t, int, _Out_ void **)'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void *$(void *, void *, size_t, int64_t *, size_t, int, _Out_ void **)',
  ],
  GetTensorMutableData: [51, 'void *$(void *, _Out_ void **)'],
  CreateMemoryInfo: [68, 'void *$(const char *, int, int, int, _Out_ void **)'],
  CreateCpuMemoryInfo: [69, 'void *$(int, int, _Out_ void **)'],
  AllocatorFree: [76, 'void *$(void *, void *)'],
  GetAllocatorWithDefaultOptions: [78, 'void *$(_Out_ void **)'],
  ReleaseStatus: [93, 'void $(void *)'],
  ReleaseSession: [95, 'void $(void *)'],
  ReleaseValue: [96, 'void $(void *)'],
  ReleaseRunOptions: [97, 'void $(void *)'],
  ReleaseSessionOptions: [100, 'void $(void *)'],
  SessionEndProfiling: [110, 'void *$(void *, void *, _Out_ void **)'],
  CreateEnvWithGlobalThreadPools: [119, 'void *$(int, const char *, void *, _Out_ void **)'],
  DisablePerSessionThreads: [120, 'void *$(void *)'],
  CreateThreadingOptions: [121, 'void *$(_Out_ void **)'],
  ReleaseThreadingOptions: [122, 'void $(void *)'],
  AddSessionConfigEntry: [130, 'void *$(void *, const char *, const char *)'],
  CreateAllocator: [131, 'void *$(void *, void *, _Out_ void **)'],
  RunWithBinding: [133, 'void *$(void *, void *, void *)'],
  CreateIoBinding: [134, 'void *$(void *, _Out_ void **)'],
  ReleaseIoBinding: [135, 'void $(void *)'],
  BindInput: [136, 'void *$(void *, const char *, void *)'],
  BindOutput: [137, 'void *$(void *, const char *, void *)'],
  CreateAndRegisterAllocator: [144, 'void *$(void *, void *, void *)'],
  GetAvailableProviders: [125, 'void *$(_Out_ void **, _Out_ int *)'],
  ReleaseAvailableProviders: [126, 'void *$(void *, int)'],
  SetGlobalIntraOpNumThreads: [147, 'void *$(void *, int)'],
  SetGlobalInterOpNumThreads: [148, 'void *$(void *, int)'],
  SetGlobalSpinControl: [149, 'void *$(void *, int)'],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void *$(void *, void *)'],
  CreateCUDAProviderOptions: [205, 'void *$(_Out_ void **)'],
  UpdateCUDAProviderOptions: [206, 'void *$(void *, const char **, const char **, size_t)'],
  ReleaseCUDAProviderOptions: [208, 'void $(void *)'],
  SessionOptionsAppendExecutionProvider: [
    216,
    'void *$(void *, const char *, const char **, const char **, size_t)',
  ],
  CreateArenaCfg: [156, 'void *$(size_t, int, int, int, _Out_ void **)'],
  ReleaseArenaCfg: [157, 'void $(void *)'],
  AddRunConfigEntry: [165, 'void *$(void *, const char *, const char *)'],
  CreateAndRegisterAllocatorV2: [
    259,
    'void *$(void *, const char *, void *, void *, const char **, const char **, size_t)',
  ],
} as const;

export type FunctionName = keyof typeof FUNCTIONS;

/** A shape as the C API takes it. */
export function dimensions(shape: readonly number[]): BigInt64Array | null {
  return shape.length ? BigInt64Array.from(shape, BigInt) : null;
}

/** A bound C function; `async` runs it on a thread of libuv's pool. */
interface Bound {
  (...args: readonly unknown[]): unknown;
  async(...args: readonly unknown[]): void;
}

// Both stacks must be large: WebGPU's shader compiler overflows koffi's default of 256 KiB.
const STACK_BYTES = 8 << 20;
const CONFIG = { sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES };
koffi.config(CONFIG);

/** Loaded libraries stay reachable: koffi unloads a library whose handle is collected. */
const LOADED: object[] = [];

export class OrtApi {
  readonly version: string;
  readonly #path: string;
  readonly #table: readonly Pointer[];
  readonly #bound = new Map<FunctionName, Bound>();

  /** Loads the shared library at `path`. */
  constructor(path: string) {
    this.#path = path;
    const library = koffi.load(path);
    LOADED.push(library);
    const base = library.func('void *OrtGetApiBase()')() as Pointer;
    const [getApi, getVersion] = koffi.decode(base, koffi.array('void *', 2)) as Pointer[];
    const version = koffi.decode(getVersion, koffi.proto('const char *OrtVersion()')) as Bound;
    this.version = String(version());
    const api = (koffi.decode(getApi, koffi.proto('void *OrtApiOf(uint32_t)')) as Bound)(
      API_VERSION,
    );
    if (!api) {
      throw new FlowstepError(
        'LIBRARY_NOT_FOUND',
        `${path}: ONNX Runtime ${this.version} is too old`,
        {
          hint: 'use ONNX Runtime 1.20 or newer',
        },
      );
    }
    const size = Math.max(...Object.values(FUNCTIONS).map(([index]) => index)) + 1;
    this.#table = koffi.decode(api, koffi.array('void *', size)) as Pointer[];
  }

  /** Calls a function that returns a status; a failure becomes an ENGINE error. */
  call(name: FunctionName, ...args: readonly unknown[]): void {
    this.#check(this.#function(name)(...args));
  }

  /** Calls a function whose last parameter is the address of a new object, and returns the object. */
  create(name: FunctionName, ...args: readonly unknown[]): Pointer {
    const out: [Pointer] = [null];
    this.call(name, ...args, out);
    return out[0];
  }

  /** Calls a function without a result. */
  release(name: FunctionName, object: Pointer): void {
    this.#function(name)(object);
  }

  /** `call` on another thread. */
  callAsync(name: FunctionName, ...args: readonly unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#function(name).async(...args, (failure: unknown, status: Pointer) => {
        if (failure) return reject(failure);
        try {
          this.#check(status);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** A thread for `callOn`. */
  thread(): CallThread {
    return new CallThread(this.#path, CONFIG);
  }

  /** `call` on a thread of `thread`. */
  async callOn(thread: CallThread, name: FunctionName, ...args: readonly unknown[]): Promise<void> {
    const [index, signature] = FUNCTIONS[name];
    const address = this.#table[index];
    this.#check(await thread.call({ address, signature: signature.replace('$', name), args }));
  }

  #check(status: Pointer): void {
    if (!status) return;
    const message = String(this.#function('GetErrorMessage')(status));
    this.release('ReleaseStatus', status);
    throw engineError(message);
  }

  #function(name: FunctionName): Bound {
    const known = this.#bound.get(name);
    if (known) return known;
    const [index, signature] = FUNCTIONS[name];
    const prototype = koffi.proto(signature.replace('$', `Ort${name}`));
    const bound = koffi.decode(this.#table[index], prototype) as Bound;
    this.#bound.set(name, bound);
    return bound;
  }
}
