/** @file Checks of tensor files that read every byte. */
import { createHash } from 'node:crypto';
import { float16ToFloat32 } from '../trainer/files/float16.ts';
import { SafetensorsFile } from '../trainer/files/safetensors.ts';

/** sha256 of the tensors in the order of the file, hexadecimal. */
export async function hashOfTensors(file: string): Promise<string> {
  await using open = await SafetensorsFile.open(file);
  const hash = createHash('sha256');
  for (const name of open.header.tensors.keys()) hash.update((await open.readRaw(name)).bytes);
  return hash.digest('hex');
}

/** A line for each float tensor with a value that is not finite. */
export async function checkFinite(file: string): Promise<string[]> {
  await using open = await SafetensorsFile.open(file);
  const problems: string[] = [];
  for (const [name, { dtype }] of open.header.tensors) {
    if (dtype !== 'F32' && dtype !== 'F64' && dtype !== 'F16') continue;
    const { data } = await open.read(name);
    const values = dtype === 'F16' ? float16ToFloat32(data as Uint16Array) : data;
    const bad = (values as Float32Array | Float64Array).findIndex((x) => !Number.isFinite(x));
    if (bad >= 0) problems.push(`tensor ${name} has ${values[bad]} at ${bad}`);
  }
  return problems;
}
