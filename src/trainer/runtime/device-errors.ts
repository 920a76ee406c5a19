/**
 * @file What ONNX Runtime and CUDA say when a device fails, as errors that name what is missing and what to do.
 * The texts are those of ONNX Runtime 1.30: cuda_call.cc, provider_bridge_ort.cc, cuda_kernel.h, bfc_arena.cc.
 */
import { type ErrorCode, FlowstepError } from '../../errors.ts';
import {
  CUDA_DRIVER,
  CUDA_LIBRARY_VARIABLE,
  CUDA_MAJOR,
  CUDA_PARTS,
  INSTALL_CUDA,
  OLDEST_DRIVER,
} from './cuda-parts.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

interface Row {
  readonly says: RegExp;
  readonly means: (match: RegExpExecArray) => Meaning;
}

const NO_DRIVER: Meaning = {
  code: 'DEVICE_UNAVAILABLE',
  message: 'there is no NVIDIA driver',
  hint: `Install the NVIDIA driver, ${OLDEST_DRIVER} or newer; or compute with --device cpu.`,
};

const DRIVER_TOO_OLD: Meaning = {
  code: 'DEVICE_UNAVAILABLE',
  message: `the NVIDIA driver is too old for CUDA ${CUDA_MAJOR}`,
  hint: `Update it to ${OLDEST_DRIVER} or newer; or compute with --device cpu.`,
};

const NO_CUDNN: Meaning = {
  code: 'LIBRARY_NOT_FOUND',
  message: 'cuDNN 9 is missing, which convolutions need',
  hint: `Run \`${INSTALL_CUDA}\`.`,
};

const OUT_OF_MEMORY: Meaning = {
  code: 'OUT_OF_MEMORY',
  message: 'there is not enough memory',
  hint: 'Take a smaller batch, recompute, or a LoRA; close other programs that use the device. `flowstep plan` tells what each takes.',
};

/** CUDA's cudaError_t and CUresult, which agree on these numbers. */
const CUDA_FAILURES: Readonly<Record<number, Meaning>> = {
  2: OUT_OF_MEMORY,
  34: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'the NVIDIA driver is only a stub, as is used to build programs',
    hint: 'Take the stubs folder of the CUDA toolkit out of LD_LIBRARY_PATH.',
  },
  35: DRIVER_TOO_OLD,
  46: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'the graphics card is taken by another program, exclusively',
    hint: 'End that program (nvidia-smi lists it), or set the card to shared use: nvidia-smi -c 0.',
  },
  100: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'there is no NVIDIA graphics card, or none that this process may use',
    hint: 'Look at nvidia-smi and CUDA_VISIBLE_DEVICES; in a container, start it with --gpus all. Or compute with --device cpu.',
  },
  101: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'there is no NVIDIA graphics card of that number',
    hint: 'Look at nvidia-smi and CUDA_VISIBLE_DEVICES.',
  },
  209: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'the graphics card is too old: ONNX Runtime has no programs for it',
    hint: 'A card of compute capability 7.5 or more is needed (GTX 16, RTX 20 and newer). Or try --device webgpu.',
  },
  803: {
    code: 'DEVICE_UNAVAILABLE',
    message: 'the NVIDIA driver and its libraries are of different versions',
    hint: 'Restart the machine: it was updated while the old driver was running.',
  },
  804: DRIVER_TOO_OLD,
};

/** After these the card's context in this process is lost: CUDA itself says so. */
const LOST_CONTEXT = new Set([700, 702, 710, 714, 715, 716, 717, 718, 719]);

/** A number of CUDA's as an error's content. */
export function cudaFailure(number: number, text: string): Meaning {
  const known = CUDA_FAILURES[number];
  if (known) return known;
  const message = `the graphics card failed: ${text} (CUDA ${number})`;
  const hint = LOST_CONTEXT.has(number)
    ? 'This process cannot use the card any more: start it again. What was trained is in the last checkpoint.'
    : 'Look at nvidia-smi; if the card is well, update its driver. Or compute with --device cpu.';
  return { code: 'DEVICE_UNAVAILABLE', message, hint };
}

/** A library that the provider needs and the system does not find. */
export function missingLibrary(name: string): Meaning {
  if (Object.values(CUDA_DRIVER).includes(name)) return NO_DRIVER;
  if (/cudnn/.test(name)) return NO_CUDNN;
  const part = CUDA_PARTS.find(({ file }) => Object.values(file).includes(name));
  const hint = `Run \`${INSTALL_CUDA}\`.`;
  if (part) {
    const wheel = part.wheel.split('~')[0];
    return {
      code: 'LIBRARY_NOT_FOUND',
      message: `${name} is missing (Python package ${wheel})`,
      hint,
    };
  }
  const major = Number(/^lib(?:cudart|cublas|cublasLt|nvrtc)\.so\.(\d+)$/.exec(name)?.[1]);
  if (major > 0) {
    return {
      code: 'LIBRARY_NOT_FOUND',
      message: `this ONNX Runtime is built for CUDA ${major}, not ${CUDA_MAJOR}: ${name} is missing`,
      hint: `Unset ${CUDA_LIBRARY_VARIABLE}, and run \`${INSTALL_CUDA}\`.`,
    };
  }
  return { code: 'LIBRARY_NOT_FOUND', message: `${name} is missing`, hint };
}

const ROWS: readonly Row[] = [
  {
    says: /([\w.+-]+\.(?:so[.\d]*|dylib)): cannot open shared object file/,
    means: ([, name = '']) => missingLibrary(name),
  },
  {
    says: /LoadLibrary failed with error 126 .*onnxruntime_providers_cuda/,
    means: () => ({
      code: 'LIBRARY_NOT_FOUND',
      message: `libraries of CUDA ${CUDA_MAJOR} or cuDNN 9 are missing`,
      hint: `Run \`${INSTALL_CUDA}\`.`,
    }),
  },
  {
    says: /version `(GLIBC\w*_[\d.]+)' not found/,
    means: ([, version]) => ({
      code: 'LIBRARY_NOT_FOUND',
      message: `this system is too old for the library: it needs ${version}`,
      hint: 'Use a system with glibc 2.28 or newer (Debian 10, Ubuntu 20.04).',
    }),
  },
  { says: /cuDNN is (?:unavailable|not available)/, means: () => NO_CUDNN },
  {
    says: /Failed to allocate memory for requested buffer of size (\d+)/,
    means: ([, bytes]) => ({
      ...OUT_OF_MEMORY,
      message: `there is not enough memory: ${size(Number(bytes))} more were asked for`,
    }),
  },
  {
    says: /Available memory of (\d+) is smaller than requested bytes of (\d+)/,
    means: ([, left, asked]) => ({
      ...OUT_OF_MEMORY,
      message: `there is not enough memory: of what may be used ${size(Number(left))} are left, and ${size(Number(asked))} were asked for`,
    }),
  },
  {
    says: /CUBLAS failure 3\b|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|bad_alloc/,
    means: () => OUT_OF_MEMORY,
  },
  {
    says: /CUDA failure (\d+): ([^;]*[^; ])/,
    means: ([, number, text = '']) => cudaFailure(Number(number), text),
  },
  {
    says: /Failed to get a WebGPU adapter|No supported adapters/,
    means: () => ({
      code: 'DEVICE_UNAVAILABLE',
      message: 'WebGPU finds no graphics card: No supported adapters',
      hint: "Install the card's driver (on Linux its Vulkan driver); or compute with --device cpu.",
    }),
  },
];

/** An error for what ONNX Runtime says, its own words as the cause; ENGINE where they are not known. */
export function engineError(text: string): FlowstepError {
  for (const { says, means } of ROWS) {
    const match = says.exec(text);
    if (match) return deviceError(means(match), text);
  }
  return new FlowstepError('ENGINE', text);
}

/** The error of a meaning; `said` is kept as its cause. */
export function deviceError({ code, message, hint }: Meaning, said?: string): FlowstepError {
  return new FlowstepError(code, message, {
    hint,
    ...(said !== undefined && { cause: new Error(said) }),
  });
}

/** Bytes as people say them. */
function size(bytes: number): string {
  const mib = bytes / 2 ** 20;
  return mib < 1024 ? `${mib.toFixed(0)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}
