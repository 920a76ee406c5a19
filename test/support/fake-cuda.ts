/** @file Folders that look like an installation of ONNX Runtime with CUDA, and like one of NVIDIA's libraries. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempFolder } from './temp-folder.ts';

export interface FakeCuda {
  /** A folder of Python packages that holds both. */
  readonly packages: string;
  /** The folder capi of onnxruntime-gpu. */
  readonly capi: string;
  /** The folder of NVIDIA's libraries. */
  readonly folder: string;
}

/** Empty files of the right names; `parts` are NVIDIA's. */
export async function fakeCuda(parts: readonly string[]): Promise<FakeCuda> {
  const packages = await tempFolder();
  const capi = join(packages, 'onnxruntime', 'capi');
  const folder = join(packages, 'nvidia', 'cu13', 'lib');
  await mkdir(capi, { recursive: true });
  await mkdir(folder, { recursive: true });
  for (const name of [
    ...['libonnxruntime.so.1.30.0', 'libonnxruntime_providers_cuda.so'],
    ...['onnxruntime.dll', 'onnxruntime_providers_cuda.dll'],
  ]) {
    await writeFile(join(capi, name), '');
  }
  for (const name of parts) await writeFile(join(folder, name), '');
  return { packages, capi, folder };
}
