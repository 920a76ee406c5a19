/** @file The libraries of NVIDIA that ONNX Runtime's CUDA provider needs: their names, where they lie, and the packages that have them. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Version of CUDA that the library of ORT_GPU_WHEEL is built for. */
export const CUDA_MAJOR = 13;
/** First driver that runs CUDA 13. */
export const OLDEST_DRIVER = '580';
/** Holds ONNX Runtime with its CUDA provider: the version of the package onnxruntime-node. */
export const ORT_GPU_WHEEL = 'onnxruntime-gpu==1.30.0';

/** What fetches all of it, for hints. */
export const INSTALL_CUDA = 'flowstep doctor --install cuda';

/** Names the library, or the folder that holds it, in place of what `INSTALL_CUDA` fetched. */
export const CUDA_LIBRARY_VARIABLE = 'FLOWSTEP_ORT_CUDA';
/** Folders, as in PATH, where the NVIDIA libraries of another program's Python lie. */
export const CUDA_FOLDERS_VARIABLE = 'FLOWSTEP_CUDA_LIBRARIES';

export type Environment = Readonly<Record<string, string | undefined>>;
export type CudaPlatform = 'linux' | 'win32';

export interface CudaPart {
  /** What the file is called. */
  readonly file: Readonly<Record<CudaPlatform, string>>;
  /** The Python package that holds it, as pip takes it. */
  readonly wheel: string;
}

/** In the order of loading: each needs only those before it. */
export const CUDA_PARTS: readonly CudaPart[] = [
  {
    file: { linux: 'libcudart.so.13', win32: 'cudart64_13.dll' },
    wheel: 'nvidia-cuda-runtime~=13.0',
  },
  {
    file: { linux: 'libcublasLt.so.13', win32: 'cublasLt64_13.dll' },
    wheel: 'nvidia-cublas~=13.0',
  },
  { file: { linux: 'libcublas.so.13', win32: 'cublas64_13.dll' }, wheel: 'nvidia-cublas~=13.0' },
  { file: { linux: 'libcurand.so.10', win32: 'curand64_10.dll' }, wheel: 'nvidia-curand~=10.0' },
  {
    file: { linux: 'libnvrtc.so.13', win32: 'nvrtc64_130_0.dll' },
    wheel: 'nvidia-cuda-nvrtc~=13.0',
  },
  { file: { linux: 'libcudnn.so.9', win32: 'cudnn64_9.dll' }, wheel: 'nvidia-cudnn-cu13~=9.0' },
];

export const CUDA_DRIVER: Readonly<Record<CudaPlatform, string>> = {
  linux: 'libcuda.so.1',
  win32: 'nvcuda.dll',
};

/** The platforms for which the wheel exists; undefined on others. */
export function cudaPlatform(
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
): CudaPlatform | undefined {
  if (arch !== 'x64') return undefined;
  return platform === 'linux' || platform === 'win32' ? platform : undefined;
}

/** Where `INSTALL_CUDA` puts packages: inside of this package, so that it goes when this goes. */
export function cudaPackages(): string {
  return fileURLToPath(new URL('../../../.ort', import.meta.url));
}

/** Where the toolkit and Linux distributions put them. */
const SYSTEM_FOLDERS: readonly string[] = [
  '/usr/local/cuda/lib64',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib/wsl/lib',
  '/usr/lib',
];

/** Folders in which the parts are looked for, in order. */
export function cudaFolders(
  environment: Environment,
  packages: string = cudaPackages(),
  platform: CudaPlatform | undefined = cudaPlatform(),
): string[] {
  const list = (name: string) => (environment[name] ?? '').split(delimiter).filter(Boolean);
  return [
    ...list(CUDA_FOLDERS_VARIABLE),
    ...wheelFolders(packages),
    ...(platform === 'win32' ? list('PATH') : [...list('LD_LIBRARY_PATH'), ...SYSTEM_FOLDERS]),
  ];
}

/** `nvidia/NAME/lib`, or `bin` on Windows, in a folder of Python packages. */
function wheelFolders(packages: string): string[] {
  const nvidia = join(packages, 'nvidia');
  if (!existsSync(nvidia)) return [];
  return readdirSync(nvidia).flatMap((name) =>
    ['lib', join('bin', 'x86_64'), 'bin'].map((inner) => join(nvidia, name, inner)),
  );
}

export interface FoundPart extends CudaPart {
  readonly name: string;
  /** Undefined where it is in none of the folders; the system may still know it. */
  readonly path: string | undefined;
}

/** Every part with where it lies. */
export function findParts(folders: readonly string[], platform: CudaPlatform): FoundPart[] {
  return CUDA_PARTS.map((part) => {
    const name = part.file[platform];
    const path = folders.map((folder) => join(folder, name)).find(existsSync);
    return { ...part, name, path };
  });
}

/** The version of CUDA whose libraries lie in the folders instead, if there is one: 12, say. */
export function otherCuda(folders: readonly string[]): number | undefined {
  const pattern = /^(?:libcublas\.so\.|cublas64_)(\d+)(?:\.dll)?$/;
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      const major = Number(pattern.exec(name)?.[1]);
      if (major > 0 && major !== CUDA_MAJOR) return major;
    }
  }
  return undefined;
}
