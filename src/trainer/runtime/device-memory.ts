/**
 * @file Memory of a device that does not compute in the host's: allocated there, filled and read by a program that
 * copies. ONNX Runtime's C API has no copy of its own that every provider knows.
 */
import { IDENTITY_INPUT, IDENTITY_OUTPUT, identityModel } from '../graph/identity-model.ts';
import { ELEMENT_TYPES } from '../graph/onnx-format.ts';
import { ELEMENT_BYTES } from '../graph/onnx-tensors.ts';
import { type DType, float32, sizeOf, type Tensor } from '../tensor.ts';
import type { Engine } from './engine.ts';
import { dimensions, type Pointer } from './ort-api.ts';
import { type ProviderOptions, shareArena } from './providers.ts';

/** ONNX Runtime's names for the memory of its providers. */
export const MEMORY_NAMES = { webgpu: 'WebGPU_Buf', cuda: 'Cuda' } as const;

/** OrtDeviceAllocator and OrtMemTypeDefault: what the provider itself allocates. */
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;
const FIRST_DEVICE = 0;

/** A host tensor with its copy on the device, where that is not the same memory. */
export interface DeviceTensor extends Tensor {
  readonly place?: Pointer;
}

/** What a tensor takes of memory. */
type Form = Pick<Tensor, 'dtype' | 'shape'>;

export class DeviceMemory {
  /** Whether memory is at addresses, so that a part of a tensor is a tensor too. */
  readonly hasAddresses: boolean;
  readonly #engine: Engine;
  readonly #info: Pointer;
  readonly #runOptions: Pointer;
  /** Programs that copy, by type of element. */
  readonly #copiers = new Map<DType, Pointer>();
  #allocator: Pointer;
  /** Of a run that gives back what the shared arena has and nothing uses. */
  #shrinkOptions: Pointer;
  #isShrinking = false;

  constructor(engine: Engine, name: string) {
    const { api } = engine;
    this.hasAddresses = name === MEMORY_NAMES.cuda;
    this.#engine = engine;
    this.#info = api.create(
      'CreateMemoryInfo',
      name,
      DEVICE_ALLOCATOR,
      FIRST_DEVICE,
      DEFAULT_MEMORY,
    );
    this.#runOptions = api.create('CreateRunOptions');
  }

  /** One arena for all programs from now on; before the first. `options` are the provider's. */
  shareArena(options: ProviderOptions): void {
    const { api, environment, library } = this.#engine;
    shareArena(api, environment, this.#info, library, options);
    this.#shrinkOptions = api.create('CreateRunOptions');
    const entry = ['memory.enable_memory_arena_shrinkage', `gpu:${FIRST_DEVICE}`];
    api.call('AddRunConfigEntry', this.#shrinkOptions, ...entry);
  }

  /**
   * Gives back to the card what nothing uses, once all runs before are over: a shared arena keeps it, while other programs may
   * need it. Called when a program is disposed of; several at once come to one.
   */
  giveBack(): void {
    if (!this.#shrinkOptions || this.#isShrinking) return;
    this.#isShrinking = true;
    setImmediate(async () => {
      this.#isShrinking = false;
      const one = float32(new Float32Array(1), [1]);
      const [from, to] = [this.#engine.bind(one), this.#engine.bind(one)];
      try {
        await this.#run('float32', from.value, to.value, this.#shrinkOptions);
      } catch {
        // What is wrong with the card is told to those who compute.
      } finally {
        this.#engine.unbind(from);
        this.#engine.unbind(to);
      }
    });
  }

  /** Room on the device for a tensor like `tensor`; what it holds is undefined. Throws ENGINE when there is none. */
  allocate({ shape, dtype }: Form): Pointer {
    const { api } = this.#engine;
    this.#allocator ??= api.create('CreateAllocator', this.#copier('float32'), this.#info);
    return api.create(
      'CreateTensorAsOrtValue',
      this.#allocator,
      dimensions(shape),
      shape.length,
      ELEMENT_TYPES[dtype],
    );
  }

  /** A tensor over the elements of `of` from `start` on, which is 0 unless memory has addresses. It must not outlive `of`. */
  part(of: Pointer, start: number, { shape, dtype }: Form): Pointer {
    const { api } = this.#engine;
    const address = api.create('GetTensorMutableData', of) as bigint;
    const bytes = ELEMENT_BYTES[dtype];
    return api.create(
      'CreateTensorWithDataAsOrtValue',
      this.#info,
      address + BigInt(start * bytes),
      sizeOf(shape) * bytes,
      dimensions(shape),
      shape.length,
      ELEMENT_TYPES[dtype],
    );
  }

  /** Copies `source` to `target`: both like `tensor`, one of them on the device. */
  async copy({ dtype }: Form, source: Pointer, target: Pointer): Promise<void> {
    await this.#run(dtype, source, target, this.#runOptions);
  }

  async #run(dtype: DType, source: Pointer, target: Pointer, options: Pointer): Promise<void> {
    await this.#engine.compute(
      'Run',
      this.#copier(dtype),
      options,
      [IDENTITY_INPUT],
      [source],
      1,
      [IDENTITY_OUTPUT],
      1,
      [target],
    );
  }

  #copier(dtype: DType): Pointer {
    const known = this.#copiers.get(dtype);
    if (known) return known;
    const copier = this.#engine.createSession(identityModel(dtype));
    this.#copiers.set(dtype, copier);
    return copier;
  }
}
