/** @file Execution providers: how each is added to a session, and which of them a library has. */
import koffi from 'koffi';
import { FlowstepError } from '../../errors.ts';
import type { LowType } from '../graph/low-precision.ts';
import { loadCudaParts } from './cuda-library.ts';
import type { Device, Library } from './library.ts';
import type { OrtApi, Pointer } from './ort-api.ts';

/** A provider's options, by its own names. */
export type ProviderOptions = Readonly<Record<string, string>>;

/** Options of CUDA that are always given. */
const CUDA_OPTIONS: ProviderOptions = {
  device_id: '0',
  // Grown by what is asked for: doubling would take memory that another program needs.
  arena_extend_strategy: 'kSameAsRequested',
};

/** Type of products, and of what stands between them; state is float32 all the same. */
export type Precision = 'float32' | LowType;

/** Precisions by the names that users give. `tf32` is float32 with 10 bits of mantissa in products. */
export const PRECISIONS = ['fp32', 'tf32', 'bf16', 'fp16'] as const;
export type PrecisionName = (typeof PRECISIONS)[number];

export interface ComputeSettings {
  readonly precision?: PrecisionName | undefined;
  /** Bytes that the working memory of each program may take on the card. */
  readonly memoryLimit?: number | undefined;
}

/** Precisions for which a device has kernels; a processor computes float16 in float32. */
const KNOWN: Readonly<Record<Device, readonly PrecisionName[]>> = {
  cpu: ['fp32', 'fp16'],
  webgpu: ['fp32'],
  cuda: PRECISIONS,
};

const TYPES: Readonly<Record<PrecisionName, Precision>> = {
  fp32: 'float32',
  tf32: 'float32',
  bf16: 'bfloat16',
  fp16: 'float16',
};

export interface ComputeOptions {
  readonly precision: Precision;
  readonly providerOptions: ProviderOptions;
}

/** The settings as options of an engine on the device. Throws USAGE for what the device does not have. */
export function computeOptions(
  device: Device,
  { precision = 'fp32', memoryLimit }: ComputeSettings,
): ComputeOptions {
  if (!KNOWN[device].includes(precision)) {
    throw new FlowstepError('USAGE', `--precision ${precision} is not for ${device}`, {
      hint: `Take ${KNOWN[device].join(' or ')}, or --device cuda.`,
    });
  }
  if (memoryLimit !== undefined && device !== 'cuda') {
    throw new FlowstepError('USAGE', `--gpu-memory is for CUDA, and this is ${device}`, {
      hint: 'Take --device cuda, or leave it out.',
    });
  }
  const options = {
    use_tf32: precision === 'tf32' ? '1' : '0',
    ...(memoryLimit !== undefined && { gpu_mem_limit: String(Math.floor(memoryLimit)) }),
  };
  return { precision: TYPES[precision], providerOptions: device === 'cuda' ? options : {} };
}

/** The name of what an engine computes in. */
export function precisionName({ precision, providerOptions }: ComputeOptions): PrecisionName {
  if (precision === 'float32') return providerOptions['use_tf32'] === '1' ? 'tf32' : 'fp32';
  return precision === 'bfloat16' ? 'bf16' : 'fp16';
}

/** Loads what the library's provider needs beside it. Throws LIBRARY_NOT_FOUND or DEVICE_UNAVAILABLE with what is missing. */
export function prepareProvider({ device }: Library): void {
  if (device === 'cuda') loadCudaParts({ environment: process.env });
}

/** Adds the library's provider to session options. Throws as `prepareProvider`, or ENGINE. */
export function appendProvider(
  api: OrtApi,
  session: Pointer,
  { device, provider }: Library,
  options: ProviderOptions = {},
): void {
  if (provider === undefined) return;
  if (device === 'cuda') {
    appendCuda(api, session, { ...CUDA_OPTIONS, ...options });
    return;
  }
  api.call('SessionOptionsAppendExecutionProvider', session, provider, ...asLists(options));
}

/** What stands for no limit, and for the library's own choice. */
const UNLIMITED = 2n ** 64n - 1n;
const USUAL = -1;
/** kSameAsRequested, as in CUDA_OPTIONS. */
const AS_REQUESTED = 1;

/** One arena for the working memory of all sessions on CUDA, so that programs which take turns share it. Before the first session. */
export function shareArena(
  api: OrtApi,
  environment: Pointer,
  memory: Pointer,
  { provider }: Library,
  options: ProviderOptions,
): void {
  const all = { ...CUDA_OPTIONS, ...options };
  const most = BigInt(all['gpu_mem_limit'] ?? UNLIMITED);
  const arena = api.create('CreateArenaCfg', most, AS_REQUESTED, USUAL, USUAL);
  try {
    const register = 'CreateAndRegisterAllocatorV2';
    api.call(register, environment, provider, memory, arena, ...asLists(all));
  } finally {
    api.release('ReleaseArenaCfg', arena);
  }
}

/** Options as the C API takes them: names, values and how many they are. */
function asLists(options: ProviderOptions): readonly [string[], string[], number] {
  const names = Object.keys(options);
  return [names, Object.values(options), names.length];
}

/** The generic function does not know CUDA, which has options of a type of its own. */
function appendCuda(api: OrtApi, session: Pointer, options: ProviderOptions): void {
  const made = api.create('CreateCUDAProviderOptions');
  try {
    api.call('UpdateCUDAProviderOptions', made, ...asLists(options));
    api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', session, made);
  } finally {
    api.release('ReleaseCUDAProviderOptions', made);
  }
}

/** Providers that the library was built with, by ONNX Runtime's names; one may still lack what it needs. */
export function providersOf(api: OrtApi): string[] {
  const list: [Pointer] = [null];
  const count: [number] = [0];
  api.call('GetAvailableProviders', list, count);
  try {
    return koffi.decode(list[0], koffi.array('const char *', count[0])) as string[];
  } finally {
    api.call('ReleaseAvailableProviders', list[0], count[0]);
  }
}
