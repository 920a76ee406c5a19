/** @file Fetches ONNX Runtime with CUDA, and what it needs of NVIDIA's libraries, into this package's own folder. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { findCudaLibrary } from '../trainer/runtime/cuda-library.ts';
import {
  CUDA_LIBRARY_VARIABLE,
  type CudaPlatform,
  cudaFolders,
  cudaPackages,
  cudaPlatform,
  type Environment,
  findParts,
  ORT_GPU_WHEEL,
} from '../trainer/runtime/cuda-parts.ts';

/** Names the Python whose pip downloads. */
export const PYTHON_VARIABLE = 'FLOWSTEP_PYTHON';

/** A Python for which the wheels exist; which one matters not, as only their libraries are used. */
const WHEEL_PYTHON = '3.12';

export interface InstallOptions {
  readonly environment: Environment;
  readonly packages?: string;
  readonly platform?: CudaPlatform | undefined;
  /** Tells what is done. */
  say(line: string): void;
}

export interface Installed {
  /** The library's path. */
  readonly library: string;
  /** What was downloaded; empty when all was there. */
  readonly wheels: readonly string[];
}

/**
 * Downloads what is missing with pip. Nothing outside of `packages` changes, and that is replaced as a whole at the end.
 * Throws DEVICE_UNAVAILABLE on other platforms, LIBRARY_NOT_FOUND when there is no pip or it fails.
 */
export async function installCuda(options: InstallOptions): Promise<Installed> {
  const { environment, packages = cudaPackages(), platform = cudaPlatform(), say } = options;
  if (!platform) {
    throw new FlowstepError(
      'DEVICE_UNAVAILABLE',
      `there is no CUDA for ${process.platform} ${process.arch}`,
      { hint: 'It is for Linux and Windows on x64. Take --device webgpu or cpu.' },
    );
  }
  const search = { environment, packages, platform };
  if (!environment[CUDA_LIBRARY_VARIABLE] && isComplete(search)) {
    return { library: findCudaLibrary(search), wheels: [] };
  }
  // What lies in the folder already is fetched anew: pip removes one package's folder for another's of the same name.
  const elsewhere = cudaFolders(environment, join(packages, 'none'), platform);
  const missing = findParts(elsewhere, platform).filter(({ path }) => path === undefined);
  const wheels = [...new Set([ORT_GPU_WHEEL, ...missing.map(({ wheel }) => wheel)])];
  const python = await findPython(environment);
  say(`downloading ${wheels.join(', ')}`);
  const partial = `${packages}.partial`;
  await rm(partial, { recursive: true, force: true });
  await pip(python, [
    ...['install', '--target', partial, '--no-deps', '--disable-pip-version-check'],
    ...['--only-binary', ':all:', '--python-version', WHEEL_PYTHON, '--implementation', 'cp'],
    ...wheels,
  ]);
  await rm(packages, { recursive: true, force: true });
  await rename(partial, packages);
  const { [CUDA_LIBRARY_VARIABLE]: _, ...rest } = environment;
  return { library: findCudaLibrary({ ...search, environment: rest }), wheels };
}

function isComplete(search: {
  environment: Environment;
  packages: string;
  platform: CudaPlatform;
}): boolean {
  const folders = cudaFolders(search.environment, search.packages, search.platform);
  try {
    findCudaLibrary(search);
  } catch {
    return false;
  }
  return findParts(folders, search.platform).every(({ path }) => path !== undefined);
}

/** The first Python that has pip. */
async function findPython(environment: Environment): Promise<string> {
  const named = environment[PYTHON_VARIABLE];
  const candidates = named ? [named] : ['python3', 'python', ...besidePackage()];
  for (const python of candidates)
    if ((await run(python, ['-m', 'pip', '--version'])) === 0) return python;
  throw new FlowstepError(
    'LIBRARY_NOT_FOUND',
    named ? `${named} has no pip` : 'there is no Python with pip in the PATH',
    {
      hint: `Set ${PYTHON_VARIABLE} to a Python that has pip, such as ComfyUI's; \`python -m ensurepip\` adds pip to one.`,
    },
  );
}

/** The Python that ComfyUI's portable version for Windows brings: PORTABLE/ComfyUI/custom_nodes/PACK is this package. */
function besidePackage(): string[] {
  const portable = join(dirname(cudaPackages()), '..', '..', '..');
  return [join(portable, 'python_embeded', 'python.exe')].filter(existsSync);
}

async function pip(python: string, args: readonly string[]): Promise<void> {
  const code = await run(python, ['-m', 'pip', ...args], 'inherit');
  if (code === 0) return;
  throw new FlowstepError('LIBRARY_NOT_FOUND', `pip ended with ${code}; its message is above`, {
    hint: 'Is there a connection and 3 GB of room? Then run the command again.',
  });
}

/** The exit code; undefined when it cannot be started. What it says goes to stderr, or nowhere. */
function run(program: string, args: readonly string[], output: 'inherit' | 'ignore' = 'ignore') {
  const sink = output === 'inherit' ? process.stderr.fd : output;
  return new Promise<number | null | undefined>((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', sink, sink] });
    child.on('error', () => resolve(undefined));
    child.on('close', resolve);
  });
}
