/** @file Whether each device computes, with which libraries, and what is missing of CUDA. */
import { existsSync, readFileSync } from 'node:fs';
import { asFlowstepError } from '../errors.ts';
import { type DeviceTrial, PRODUCT_SIZE, trainsAlike } from '../trainer/run/device-trial.ts';
import { findCudaLibrary } from '../trainer/runtime/cuda-library.ts';
import {
  cudaFolders,
  cudaPlatform,
  type Environment,
  findParts,
  INSTALL_CUDA,
} from '../trainer/runtime/cuda-parts.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import { type Check, failed } from './check.ts';
import type { Probe } from './choose-device.ts';

export interface DeviceCheckOptions {
  readonly environment: Environment;
  /** Tries the device where a crash of the library does no harm. */
  readonly probe: Probe;
  /** Folder of what was installed for CUDA, where it is not the usual one. */
  readonly packages?: string;
  /** The driver's version, where there is one. */
  readonly nvidiaDriver?: string | undefined;
}

const GRAPHICS_HINT = 'Only needed for a graphics card: install its driver, or compute on the cpu.';

/** One check a device, and where CUDA is installed one for each of NVIDIA's libraries. */
export async function checkDevices(options: DeviceCheckOptions): Promise<Check[]> {
  const checks: Check[] = [];
  let processor: DeviceTrial | undefined;
  // One after the other: each takes all processors.
  for (const device of DEVICES) {
    const refusal = device === 'cuda' ? cudaNotInstalled(options) : undefined;
    if (refusal) {
      checks.push(refusal);
      continue;
    }
    try {
      const trial = await options.probe(device);
      checks.push(worksCheck(device, trial, processor));
      if (device === 'cpu') processor = trial;
    } catch (error) {
      checks.push(failedDevice(device, error));
    }
    if (device === 'cuda') checks.push(...partChecks(options));
  }
  return checks;
}

/** Version of the NVIDIA driver that runs; undefined where there is none, or the system does not say. */
export function nvidiaDriver(file = '/proc/driver/nvidia/version'): string | undefined {
  if (existsSync(file))
    return /Module\s+(?:for \S+\s+)?([\d.]+)/.exec(readFileSync(file, 'utf8'))?.[1];
  const windows = 'C:\\Windows\\System32\\nvcuda.dll';
  return existsSync(windows) || existsSync('/usr/lib/wsl/lib/libcuda.so.1') ? 'found' : undefined;
}

function cudaNotInstalled(options: DeviceCheckOptions): Check | undefined {
  const { environment, packages, nvidiaDriver: driver } = options;
  try {
    findCudaLibrary({ environment, ...(packages !== undefined && { packages }) });
    return undefined;
  } catch (thrown) {
    const { message, hint } = asFlowstepError(thrown);
    if (!cudaPlatform()) return { name: 'cuda', status: 'ok', message };
    const why = driver ? `there is an NVIDIA driver (${driver})` : 'only needed for NVIDIA cards';
    return {
      name: 'cuda',
      status: 'warning',
      message: `${message}; ${why}`,
      ...(hint !== undefined && { hint }),
    };
  }
}

function worksCheck(device: Device, trial: DeviceTrial, processor: DeviceTrial | undefined): Check {
  const { version, threads, providers, runMs, productMs, library, figures } = trial;
  if (processor && !trainsAlike(figures, processor.figures)) {
    return {
      name: device,
      status: 'warning',
      message: `a small training gives other losses and gradients than on the cpu: ${figures.join(', ')} instead of ${processor.figures.join(', ')}`,
      hint: 'Update the graphics driver, and do not use this device until then.',
    };
  }
  const on = device === 'cpu' ? `, ${threads} thread${threads === 1 ? '' : 's'}` : '';
  const speed = `${((2 * PRODUCT_SIZE ** 3) / productMs / 1e6).toFixed(0)} GFLOP/s`;
  const names = providers.map((name) => name.replace('ExecutionProvider', '')).join(', ');
  return {
    name: device,
    status: 'ok',
    message: `ONNX Runtime ${version} (${names})${on}; a test program was right after ${runMs.toFixed(1)} ms, ${speed} (${library})`,
  };
}

function failedDevice(device: Device, thrown: unknown): Check {
  const check = failed(device, device === 'cpu' ? 'problem' : 'warning', thrown);
  // ONNX Runtime puts the line of its source and the condition before what people can read.
  const message = (check.message.split(' was false. ').at(-1) ?? check.message).trim();
  return { ...(device !== 'cpu' && { hint: GRAPHICS_HINT }), ...check, message };
}

/** The library and each of NVIDIA's: where they lie, or which package has them. */
function partChecks({ environment, packages }: DeviceCheckOptions): Check[] {
  const platform = cudaPlatform();
  if (!platform) return [];
  const library = findCudaLibrary({ environment, ...(packages !== undefined && { packages }) });
  const found: Check = { name: 'cuda library', status: 'ok', message: library };
  const parts = findParts(cudaFolders(environment, packages, platform), platform).map(
    ({ name, path, wheel }): Check => {
      const short = name.split('.')[0] ?? name;
      if (path !== undefined) return { name: short, status: 'ok', message: path };
      return {
        name: short,
        status: 'warning',
        message: `${name} (Python package ${wheel.split('~')[0]}) is in none of the usual folders`,
        hint: `Run \`${INSTALL_CUDA}\`.`,
      };
    },
  );
  return [found, ...parts];
}
