/** @file Which ONNX Runtime library serves which device: the one place that knows file names and providers. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { findCudaLibrary } from './cuda-library.ts';

export const DEVICES = ['cpu', 'webgpu', 'cuda'] as const;
export type Device = (typeof DEVICES)[number];

export interface Library {
  readonly path: string;
  readonly device: Device;
  /** ONNX Runtime's name of the execution provider; undefined for the CPU, which is always there. */
  readonly provider?: string;
}

const FILE_NAMES: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['libonnxruntime.so.1'],
  darwin: ['libonnxruntime.1.dylib', 'libonnxruntime.1.30.0.dylib', 'libonnxruntime.dylib'],
  win32: ['onnxruntime.dll'],
};

/** The library for a device; throws LIBRARY_NOT_FOUND with what to install. */
export function findLibrary(device: Device): Library {
  if (device === 'cuda') {
    const path = findCudaLibrary({ environment: process.env });
    return { path, device, provider: 'CUDAExecutionProvider' };
  }
  const path = packagedLibrary();
  return device === 'webgpu' ? { path, device, provider: 'WebGPU' } : { path, device };
}

/** The library that the npm package onnxruntime-node carries (CPU, and WebGPU where it is built in). */
function packagedLibrary(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const folder = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
  const found = (FILE_NAMES[process.platform] ?? []).map((n) => join(folder, n)).find(existsSync);
  if (!found) {
    throw new FlowstepError(
      'LIBRARY_NOT_FOUND',
      `onnxruntime-node has no library for ${process.platform} ${process.arch}`,
      { file: folder, hint: 'run npm ci again, on a platform that onnxruntime-node supports' },
    );
  }
  return found;
}
