/** @file ONNX Runtime with CUDA, out of the Python wheel onnxruntime-gpu: where it lies, and what is loaded before it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { FlowstepError } from '../../errors.ts';
import {
  CUDA_DRIVER,
  CUDA_LIBRARY_VARIABLE,
  CUDA_MAJOR,
  CUDA_PARTS,
  type CudaPlatform,
  cudaFolders,
  cudaPackages,
  cudaPlatform,
  type Environment,
  findParts,
  INSTALL_CUDA,
  otherCuda,
} from './cuda-parts.ts';
import { cudaFailure, deviceError, missingLibrary } from './device-errors.ts';

const LIBRARY_NAME: Readonly<Record<CudaPlatform, RegExp>> = {
  linux: /^libonnxruntime\.so(\.\d+)*$/,
  win32: /^onnxruntime\.dll$/i,
};
const PROVIDER_NAME: Readonly<Record<CudaPlatform, string>> = {
  linux: 'libonnxruntime_providers_cuda.so',
  win32: 'onnxruntime_providers_cuda.dll',
};

export interface CudaSearch {
  readonly environment: Environment;
  /** Folder of Python packages. */
  readonly packages?: string;
  readonly platform?: CudaPlatform | undefined;
}

/** The library's path; throws LIBRARY_NOT_FOUND with the command that installs it. */
export function findCudaLibrary({
  environment,
  packages = cudaPackages(),
  platform = cudaPlatform(),
}: CudaSearch): string {
  if (!platform) {
    throw new FlowstepError(
      'LIBRARY_NOT_FOUND',
      `there is no ONNX Runtime with CUDA for ${process.platform} ${process.arch}`,
      { hint: 'Take --device webgpu or cpu.' },
    );
  }
  const named = environment[CUDA_LIBRARY_VARIABLE];
  const place = named || join(packages, 'onnxruntime', 'capi');
  const path = libraryAt(place, platform);
  if (path && existsSync(join(dirname(path), PROVIDER_NAME[platform]))) return path;
  const hint = `Run \`${INSTALL_CUDA}\`: it downloads about 250 MB.`;
  if (!named) {
    throw new FlowstepError('LIBRARY_NOT_FOUND', 'ONNX Runtime with CUDA is not installed', {
      hint,
    });
  }
  const what = path ? 'has no CUDA provider beside it' : 'is no ONNX Runtime library';
  throw new FlowstepError(
    'LIBRARY_NOT_FOUND',
    `${CUDA_LIBRARY_VARIABLE}: ${path ?? place} ${what}`,
    {
      file: place,
      hint: `Unset it, or name the folder capi of the Python wheel onnxruntime-gpu. ${hint}`,
    },
  );
}

function libraryAt(place: string, platform: CudaPlatform): string | undefined {
  if (!existsSync(place)) return undefined;
  if (!statSync(place).isDirectory()) return place;
  const name = readdirSync(place).find((entry) => LIBRARY_NAME[platform].test(entry));
  return name === undefined ? undefined : join(place, name);
}

/** Handles stay reachable: koffi unloads a library whose handle is collected. */
const LOADED: object[] = [];

/**
 * Loads the driver and NVIDIA's libraries, so that the provider, which knows them by name alone, finds them loaded.
 * Throws DEVICE_UNAVAILABLE without a driver that can or a card, LIBRARY_NOT_FOUND with all that is missing.
 */
export function loadCudaParts({ environment, packages, platform = cudaPlatform() }: CudaSearch) {
  if (!platform) return;
  checkDriver(platform);
  const folders = cudaFolders(environment, packages, platform);
  const missing = findParts(folders, platform).filter(({ name, path }) => !load(path ?? name));
  const [first] = missing;
  if (!first) return;
  const { code, hint } = missingLibrary(first.name);
  const other = otherCuda(folders);
  const instead = other ? `; what there is is for CUDA ${other}, not ${CUDA_MAJOR}` : '';
  const names = missing.map(({ name }) => name).join(', ');
  throw deviceError({ code, message: `missing of CUDA: ${names}${instead}`, hint });
}

/** False when it is not there. One that is there and does not load is an error that says why. */
function load(pathOrName: string): boolean {
  try {
    // The provider's libraries look for symbols of each other among what is loaded.
    LOADED.push(koffi.load(pathOrName, { global: true }));
    return true;
  } catch (thrown) {
    if (!existsSync(pathOrName)) return false;
    const text = String(thrown instanceof Error ? thrown.message : thrown);
    // What it needs is a part before it, and told by its own name.
    if (CUDA_PARTS.some(({ file }) => text.includes(`${file.linux}: cannot open`))) return true;
    throw new FlowstepError('LIBRARY_NOT_FOUND', `${pathOrName} cannot be loaded: ${text}`, {
      file: pathOrName,
      hint: `It is damaged, or of another system: run \`${INSTALL_CUDA}\`.`,
    });
  }
}

/** Asks the driver itself, whose answers are plainer than what comes of them later. */
function checkDriver(platform: CudaPlatform): void {
  let driver: ReturnType<typeof koffi.load>;
  try {
    driver = koffi.load(CUDA_DRIVER[platform], { global: true });
  } catch (thrown) {
    throw deviceError(missingLibrary(CUDA_DRIVER[platform]), String(thrown));
  }
  LOADED.push(driver);
  const version = [0];
  driver.func('int cuDriverGetVersion(_Out_ int *)')(version);
  const [number = 0] = version;
  if (number < CUDA_MAJOR * 1000) {
    const { code, message, hint } = cudaFailure(35, '');
    const goes = `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
    throw deviceError({ code, message: `${message}: it goes as far as ${goes}`, hint });
  }
  const failure = driver.func('int cuInit(unsigned int)')(0) as number;
  if (failure !== 0) throw deviceError(cudaFailure(failure, 'it cannot be started'));
}
